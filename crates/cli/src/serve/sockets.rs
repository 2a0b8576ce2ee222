//! Where `inn serve` listens: the directories of its sockets of the file system, which are opened once, by no link that a guest may have left.

use std::path::Path;

use innkeeper_http::server::{Address, Inherited, Listener, SocketPlace};

use super::flags::{ServerFlags, usual_address};
use crate::report::{Problem, visible};
use crate::writable::{WayError, Writable, planted};

/// See the module.
pub(super) struct Sockets {
    listen: Vec<Socket>,
    admin: Option<Socket>,
    pub(super) handover: Option<SocketPlace>,
}

/// An address, and of a socket of the file system its place.
struct Socket {
    address: Address,
    place: Option<SocketPlace>,
}

impl Sockets {
    /// Opens the directories, where guests may write to `writable`.
    pub(super) fn open(server: &ServerFlags, writable: &Writable) -> Result<Sockets, Problem> {
        let open = |address: &Address| {
            let place = match address {
                Address::Tcp(_) => None,
                Address::Unix(path) => Some(place(path, writable, |error| cannot_listen(address, error))?),
            };
            Ok(Socket { address: address.clone(), place })
        };
        let listen = server.listen.iter().map(open).collect::<Result<Vec<_>, Problem>>()?;
        let admin = server.admin.as_ref().map(open).transpose()?;
        let handover = server.handover.as_deref();
        let handover =
            handover.map(|path| place(path, writable, |error| cannot_hand_over(path, error))).transpose()?;
        if let Some(handover) = &handover
            && let Some(path) = server.handover.as_deref()
            && listen.iter().chain(&admin).filter_map(|it| it.place.as_ref()).any(|it| it.is(handover))
        {
            let reason =
                "clients connect there: --listen or --admin has the same path, and one of both would be lost";
            return Err(Problem::new(visible(&path.to_string_lossy()), reason)
                .help("choose a path of its own for --handover")
                .mistake());
        }
        Ok(Sockets { listen, admin, handover })
    }

    /// Listens at the addresses for clients, of which there is one at least where `others` are none.
    pub(super) async fn listen(
        &self,
        inherited: &mut Inherited,
        others: Vec<Listener>,
    ) -> Result<Vec<Listener>, Problem> {
        let mut listeners = others;
        if self.listen.is_empty() && listeners.is_empty() {
            let usual = Socket { address: usual_address(), place: None };
            listeners.push(usual.bind(inherited).await?);
        }
        for socket in &self.listen {
            listeners.push(socket.bind(inherited).await?);
        }
        Ok(listeners)
    }

    /// Listens at the address for whoever looks after the server.
    pub(super) async fn administer(&self, inherited: &mut Inherited) -> Result<Option<Listener>, Problem> {
        match &self.admin {
            Some(socket) => socket.bind(inherited).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Socket {
    async fn bind(&self, inherited: &mut Inherited) -> Result<Listener, Problem> {
        let bound = match &self.place {
            Some(place) => inherited.bind_at(place),
            None => inherited.bind(&self.address).await,
        };
        bound.map_err(|error| cannot_listen(&self.address, &error))
    }
}

fn place(
    path: &Path,
    writable: &Writable,
    problem: impl Fn(&std::io::Error) -> Problem,
) -> Result<SocketPlace, Problem> {
    let opened = writable.directory_of(path).map_err(|error| match error {
        WayError::System(error) => problem(&error),
        WayError::Planted(step) => planted(path, &step),
    });
    SocketPlace::within(opened?.0, path).map_err(|error| problem(&error))
}

fn cannot_listen(address: &Address, error: &std::io::Error) -> Problem {
    let name = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => visible(&path.to_string_lossy()),
    };
    let help = match error.kind() {
        std::io::ErrorKind::AddrInUse => "end what listens there, or choose another address",
        _ => "choose another address",
    };
    Problem::new(name, format!("nobody can listen there: {error}")).help(help)
}

pub(super) fn cannot_hand_over(path: &Path, error: &std::io::Error) -> Problem {
    let reason = format!("no sockets can be handed over there: {error}");
    let help = match error.kind() {
        std::io::ErrorKind::TimedOut => "end what listens there, or choose another path for --handover",
        _ => "choose a path of its own for --handover, in a directory of this user's",
    };
    Problem::new(visible(&path.to_string_lossy()), reason).help(help)
}
