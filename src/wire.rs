//! The octet stream of either side: a socket, TLS over it, or a test's pipe.

use tokio::io::{AsyncRead, AsyncWrite};

/// What the session and the upstream connection read and write.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Any of them.
pub type BoxedWire = Box<dyn Wire>;
