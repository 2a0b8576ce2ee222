//! Requests that guests send.
//!
//! A request was allowed by the host layer before it comes here ([`AllowedRequest`]); the address that it is sent to is decided on there again, and is the one that is connected to.
//! Connections that are not needed any more wait for the next request to the same host (`pool`), which may be another guest's: then its keys are asked.
//!
//! What must stay true: whatever a connection holds is charged to the guest whose request it carries; bodies go as they are taken, both ways; nothing follows a redirect, which is another request.

mod connect;
mod exchange;
mod pool;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use innkeeper_engine::{BudgetKind, Charge};
use innkeeper_wasi::host::{AllowedRequest, Host};

use crate::Body;
use crate::types::ErrorCode;
use connect::Connection;
use exchange::{Outcome, Taken};
use pool::{Origin, Pool};
use tls::Tls;

/// Sends requests; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pool: Arc<Pool>,
    tls: Tls,
}

/// How long a guest waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For the head of the answer, once the request is being sent.
    pub(crate) first_byte: Duration,
}

/// What the buffers of a connection take: what was read with a head stays beside what is read of the body.
const CONNECTION_COST_BYTES: u64 = 128 << 10;

/// Room for what a request takes that is on its way, and for the connection that carries it, until its answer's last byte: charged to the guest that sends it.
#[derive(Debug)]
pub(crate) struct RequestCharge(Charge);

impl Client {
    /// Room for a request, to ask for before it is begun.
    ///
    /// # Errors
    /// Where the guest makes its host hold as much as it may.
    pub(crate) fn room(&self, host: &Host) -> Result<RequestCharge, ErrorCode> {
        let charge = host.budget().hold(BudgetKind::Buffer, CONNECTION_COST_BYTES);
        Ok(RequestCharge(charge.map_err(|_| ErrorCode::ConnectionLimitReached)?))
    }

    /// Sends a request, whose target has nothing but path and query, and gives the answer once its head is there.
    ///
    /// # Errors
    /// As WASI has them.
    pub(crate) async fn send(
        &self,
        (host, allowed): (&Host, &AllowedRequest),
        (mut request, RequestCharge(charge)): (http::Request<Body>, RequestCharge),
        times: Times,
    ) -> Result<http::Response<Body>, ErrorCode> {
        let origin = Origin::of(allowed.target());
        let mut charge = Some(charge);
        while let Some(connection) = self.0.pool.take(&origin) {
            // What one guest may reach, another may not.
            let Ok(room) = host.reuse_for(allowed, connection.address) else { break };
            let taken =
                Taken { pool: &self.0.pool, origin: &origin, connection, room, charge: charge.take() };
            match taken.send(request, times.first_byte).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::Failed(code) => return Err(code),
                // It had been closed.
                Outcome::Unsent(back, held) => (request, charge) = (back, held),
            }
        }
        let (connection, room) = Connection::open((host, allowed), &self.0.tls, times.connect).await?;
        let taken = Taken { pool: &self.0.pool, origin: &origin, connection, room, charge };
        match taken.send(request, times.first_byte).await {
            Outcome::Answered(response) => Ok(response),
            Outcome::Failed(code) => Err(code),
            Outcome::Unsent(..) => Err(ErrorCode::ConnectionTerminated),
        }
    }
}
