//! The engine: configuration, tier and type registry, shared by all modules and stores made from it.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::budget::Budget;
use crate::config::Config;
use crate::error::Error;
use crate::fiber::{FiberStack, StackPool, StackShape};
use crate::limits::Limits;
use crate::memory_pool::MemoryPool;
use crate::parking::Parking;
use crate::registry::Registry;
use crate::tier::{CompileStatistics, Tier};
use crate::vmctx::NATIVE_HEADROOM_BYTES;
use crate::vmctx::polled::RecordPool;

/// Shared by everything that works together. Cloning is cheap and gives the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: Config,
    tier: Box<dyn Tier>,
    /// What makes a module in the binary format of text, where somebody can.
    text: Option<TextTranslator>,
    registry: Arc<Registry>,
    /// Made where it is first asked for: what model checkers make cannot be made outside of a model, where engines are.
    parking: LazyLock<Arc<Parking>>,
    stacks: Arc<StackPool>,
    records: Arc<RecordPool>,
    memories: Arc<MemoryPool>,
    /// What is charged for compiling.
    compiling: Mutex<Budget>,
}

/// Makes a module in the binary format of one in the text format.
pub type TextTranslator = fn(&Config, &[u8]) -> Result<Vec<u8>, Error>;

/// Whether bytes begin as a module in the text format does: with a parenthesis or a comment.
fn looks_like_text(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first().is_some_and(|first| matches!(first, b'(' | b';'))
}

impl Engine {
    /// An engine whose guests `tier` executes.
    pub fn with_tier(config: Config, tier: impl Tier) -> Engine {
        let stacks = StackPool::new(shape_of(&config.limits), config.pooling.idle_stores);
        let (records, memories) = (RecordPool::new(&config.pooling), MemoryPool::new(&config.pooling));
        let compiling = Budget::new(config.limits.memory_bytes, "Limits::memory_bytes");
        Engine(Arc::new(Inner {
            compiling: Mutex::new(compiling),
            config,
            tier: Box::new(tier),
            text: None,
            registry: Arc::default(),
            parking: LazyLock::new(Arc::default),
            stacks: Arc::new(stacks),
            records: Arc::new(records),
            memories: Arc::new(memories),
        }))
    }

    /// The same engine, which nobody shares yet, with modules also in the text format: `translate` makes them binary.
    #[must_use]
    pub fn with_text(mut self, translate: TextTranslator) -> Engine {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.text = Some(translate);
        }
        self
    }

    /// A module in the binary format, of bytes that may be in the text format.
    pub(crate) fn to_binary(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        match self.0.text {
            Some(translate) if looks_like_text(&bytes) => translate(&self.0.config, &bytes),
            _ => Ok(bytes),
        }
    }

    /// The configuration that the engine was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether both are the same engine.
    #[must_use]
    pub fn same(a: &Engine, b: &Engine) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// What the engine's tier has compiled so far, and what it has not.
    #[must_use]
    pub fn compile_statistics(&self) -> CompileStatistics {
        self.0.tier.compile_statistics()
    }

    /// What compiling is charged to while it is under way; a function that does not fit stays interpreted. One of the engine's own with the limit
    /// [`crate::Limits::memory_bytes`], until somebody gives it another one.
    #[must_use]
    pub fn compiling_budget(&self) -> Budget {
        self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has compiling charged to `budget` from now on: that of the guest, where the engine has one only. Nothing that the guest asks for is refused for it.
    pub fn charge_compiling_to(&self, budget: &Budget) {
        *self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner) = budget.clone();
    }

    pub(crate) fn tier(&self) -> &dyn Tier {
        &*self.0.tier
    }

    /// Where threads of guests wait for each other.
    pub(crate) fn parking(&self) -> &Arc<Parking> {
        &self.0.parking
    }

    /// Stacks for a fiber of a store with such limits: from the engine's pool, where they are the engine's.
    pub(crate) fn stack_for(&self, limits: &Limits) -> Result<FiberStack, Error> {
        let shape = shape_of(limits);
        if shape == self.0.stacks.shape() {
            return self.0.stacks.take();
        }
        Arc::new(StackPool::new(shape, 0)).take()
    }

    pub(crate) fn records(&self) -> &Arc<RecordPool> {
        &self.0.records
    }

    pub(crate) fn memories(&self) -> &Arc<MemoryPool> {
        &self.0.memories
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// How large the stacks of a fiber are under such limits.
fn shape_of(limits: &Limits) -> StackShape {
    let native_bytes = limits.native_stack_bytes.saturating_add(NATIVE_HEADROOM_BYTES);
    StackShape::new(limits.guest_stack_bytes, native_bytes)
}
