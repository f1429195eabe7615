//! Peers that are no Office 365: a port where nobody listens, an egress proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A port where nobody listens.
pub fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A proxy that answers CONNECT with this status, and for 200 with a tunnel to `target`. It ends with the test's process.
pub fn proxy(status: u16, target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(client, status, target));
        }
    });
    address
}

fn serve(mut client: TcpStream, status: u16, target: SocketAddr) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        client.read_exact(&mut octet).ok()?;
        head.push(octet[0]);
    }
    write!(client, "HTTP/1.1 {status} As told\r\n\r\n").ok()?;
    if status == 200 {
        let mut server = TcpStream::connect(target).ok()?;
        let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::io::copy(&mut server, &mut client).ok()?;
    }
    Some(())
}
