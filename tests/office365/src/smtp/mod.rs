//! One SMTP connection, greeting to QUIT, in the order of the wire: [`session`] has the commands, [`hello`] EHLO and STARTTLS, [`transfer`] the content,
//! [`auth`] the sign-in, [`command`] the strict syntax, [`content`] the codec, [`wire`] the socket.

pub(crate) mod wire;
pub(crate) mod command;
pub(crate) mod content;
mod auth;
mod session;
mod hello;
mod transfer;

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;

use crate::tenant::Tenant;
use session::Session;

/// Serves one connection to its end.
pub(crate) async fn serve(tcp: TcpStream, tenant: Arc<Tenant>, tls: Arc<ServerConfig>) {
    let id = tenant.record.opened();
    let end = Session::new(tcp, tenant.clone(), tls, id).run().await;
    tenant.record.closed(id, end.0);
}
