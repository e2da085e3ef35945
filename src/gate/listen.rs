//! Listening sockets: our own, one for each worker, and those that systemd passes.
use super::{
    StartError,
    settings::{ListenAddress, Listener},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

/// Connections the kernel completes while all workers are busy; it has its own upper bound
/// (`net.core.somaxconn`, 4096).
const BACKLOG: i32 = 4096;

/// One listening socket for each worker, and the address they share.
pub(super) struct Sockets {
    pub(super) name: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<TcpListener>,
}

/// Opens everything that is listened on. Several sockets that systemd passes under one name are one
/// listener.
///
/// # Errors
/// The first address that cannot be had.
pub(super) fn open(listeners: &[Listener], workers: usize) -> Result<Vec<Sockets>, StartError> {
    let mut passed = passed_by_systemd()?;
    let mut all = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let wrong =
            |error: io::Error| StartError::Listen { listener: Arc::clone(&listener.name), address: listener.address.to_string(), error };
        let opened = match &listener.address {
            ListenAddress::Ip(address) => vec![bind(*address, both_families(listeners, *address), workers).map_err(wrong)?],
            ListenAddress::Systemd(name) => {
                let missing = || io::Error::new(io::ErrorKind::NotFound, "systemd passed no socket of that name");
                let sockets = passed.remove(&**name).ok_or_else(missing).map_err(wrong)?;
                sockets.iter().map(|socket| share(socket, workers)).collect::<Result<_, _>>().map_err(wrong)?
            }
        };
        for sockets in opened {
            let address = sockets.first().ok_or_else(|| io::Error::other("no workers")).and_then(TcpListener::local_addr).map_err(wrong)?;
            all.push(Sockets { name: Arc::clone(&listener.name), address, sockets });
        }
    }
    // The kernel completes connections to them that nobody will ever answer.
    for name in passed.keys() {
        tracing::warn!("systemd passed a socket `{name}` that no listener names: connections to it wait in vain");
    }
    Ok(all)
}

/// Whether `[::]` shall take IPv4 as well: not where IPv4 has a listener of its own there.
fn both_families(listeners: &[Listener], address: SocketAddr) -> bool {
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    !listeners.iter().any(|listener| listener.address == ListenAddress::Ip(v4))
}

fn bind(address: SocketAddr, both_families: bool, workers: usize) -> io::Result<Vec<TcpListener>> {
    // Sockets that share a port are also shared with whoever else asks to share it: another octroi
    // by mistake. A first socket that does not share finds out.
    let socket = |address: SocketAddr, shared: bool| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!both_families)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let first = socket(address, false)?;
    let bound = first.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))?;
    drop(first);
    (0..workers)
        .map(|_| {
            let socket = socket(bound, workers > 1)?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        })
        .collect()
}

/// All workers wait on the one socket.
fn share(socket: &TcpListener, workers: usize) -> io::Result<Vec<TcpListener>> {
    socket.set_nonblocking(true)?;
    (0..workers).map(|_| socket.try_clone()).collect()
}

/// The sockets of `sd_listen_fds(3)`, by their `FileDescriptorName=`, which those of one unit share.
fn passed_by_systemd() -> Result<HashMap<String, Vec<TcpListener>>, StartError> {
    let mut passed = listenfd::ListenFd::from_env();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets: HashMap<_, Vec<_>> = HashMap::new();
    for index in 0..passed.len() {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
        let socket = passed.take_tcp_listener(index).map_err(|error| StartError::Listen {
            listener: "systemd".into(),
            address: name.clone(),
            error,
        })?;
        if let Some(socket) = socket {
            sockets.entry(name).or_default().push(socket);
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_nobody_else_has() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets = bind(any, true, 2).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert_eq!(sockets[1].local_addr().unwrap(), address);
        assert_eq!(bind(address, true, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(address, true, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
