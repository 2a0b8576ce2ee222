//! Keys that a program has no use for, because of what kind it is. Whoever grants one expects something of it.

use crate::flags::RunArgs;
use crate::report::{self, Problem};

/// Says so where a module is granted the network, whose addresses it cannot name.
pub(crate) fn note_network_of_module(args: &RunArgs) {
    if !args.keys.grants.network.is_empty() {
        let reason = "the program is a module, and WASI 0.1 has no way to name an address; --listen ADDRESS:PORT hands it a socket to accept connections on";
        report::note(&Problem::new("--net", reason));
    }
    if !args.keys.grants.http.is_empty() {
        let reason = "the program is a module, and WASI 0.1 has no way to send a request of HTTP";
        report::note(&Problem::new("--http", reason));
    }
}

/// Says so where a component is granted open sockets, which it cannot find.
pub(crate) fn note_listeners_of_component(args: &RunArgs) {
    if let Some(address) = args.keys.listeners.first() {
        let reason = format!(
            "the program is a component, which opens its sockets itself; --net listen:{address} lets it do so"
        );
        report::note(&Problem::new("--listen", reason));
    }
}
