//! Addresses that nobody else uses: every test process takes a loopback address of its own, and
//! ports below those the kernel gives to clients.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Where this process's servers listen.
pub fn home() -> IpAddr {
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 128, low, 1).into()
}

/// A place where nothing listens.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_025);
    loop {
        let place = SocketAddr::new(home(), NEXT.fetch_add(1, Ordering::Relaxed));
        assert!(place.port() < 32_000, "out of ports");
        // Asked by connecting: a listener opened to try would live on for a moment in a process that
        // another test forks just then.
        if TcpStream::connect(place).is_err() {
            return place;
        }
    }
}

/// The address of the `n`th client, where it matters that clients differ.
pub fn client(n: u8) -> IpAddr {
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 128, low, n.max(2)).into()
}
