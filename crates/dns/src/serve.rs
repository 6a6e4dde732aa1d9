//! Questions in, answers out, over our sockets (RFC 1035 §4.2, RFC 7766).

use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{Catalog, MessageResponse};
use netstack::{Net, TcpStream};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A silent TCP client is let go (RFC 7766 §6.2.3).
const IDLE: Duration = Duration::from_secs(10);
/// The largest UDP answer without fragments on any link here (DNS flag day 2020).
const UDP_MOST: u16 = 1232;

/// Where hickory puts the answer.
#[derive(Clone)]
struct Answer {
    bytes: Arc<Mutex<Vec<u8>>>,
    most: u16,
}

#[async_trait::async_trait]
impl ResponseHandler for Answer {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut bytes);
        // RFC 6891 §6.2.3: what the asker can take; 512 without EDNS.
        let takes = response.edns().map_or(512, |e| e.max_payload().max(512));
        encoder.set_max_size(if self.most == u16::MAX { u16::MAX } else { takes.min(self.most) });
        let info = response.destructive_emit(&mut encoder)?;
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(info)
    }
}

async fn answer(catalog: &Catalog, question: Vec<u8>, from: SocketAddr, protocol: Protocol, most: u16) -> Vec<u8> {
    let slot = Answer { bytes: Arc::default(), most };
    match Request::from_bytes(question.clone(), from, protocol) {
        Ok(r) => {
            catalog.handle_request::<_, TokioTime>(&r, slot.clone()).await;
        }
        Err(_) => return format_error(&question),
    }
    let mut bytes = slot.bytes.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *bytes)
}

/// FORMERR for what has at least an identifier and is a question.
fn format_error(question: &[u8]) -> Vec<u8> {
    match question.get(..std::mem::size_of::<[u16; 6]>()) {
        Some(h) if h[2] & 0x80 == 0 => vec![h[0], h[1], 0x80 | (h[2] & 0x79), 1, 0, 0, 0, 0, 0, 0, 0, 0],
        _ => Vec::new(),
    }
}

/// Serves UDP.
pub(crate) async fn udp(net: Net, catalog: Rc<Catalog>) {
    let Ok(socket) = net.bind_udp(53) else { return };
    loop {
        let (from, to, question) = socket.recv_from().await;
        let bytes = answer(&catalog, question, SocketAddr::V4(from), Protocol::Udp, UDP_MOST).await;
        if !bytes.is_empty() {
            socket.send_to(*to.ip(), from, &bytes);
        }
    }
}

/// Serves TCP.
pub(crate) async fn tcp(net: Net, catalog: Rc<Catalog>) {
    let Ok(listener) = net.listen(53, false) else { return };
    loop {
        let stream = listener.accept().await;
        let (net, catalog) = (net.clone(), Rc::clone(&catalog));
        tokio::task::spawn_local(async move {
            // A client that breaks the protocol or goes away ends its connection.
            let _ = connection(&net, &catalog, stream).await;
        });
    }
}

async fn connection(net: &Net, catalog: &Catalog, mut s: TcpStream) -> std::io::Result<()> {
    let from = SocketAddr::V4(s.peer_addr());
    loop {
        let mut len = [0u8; 2];
        match net.clock().timeout(IDLE, s.read_exact(&mut len)).await {
            Some(Ok(_)) => {}
            _ => return Ok(()),
        }
        let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
        if net.clock().timeout(IDLE, s.read_exact(&mut question)).await.is_none() {
            return Ok(());
        }
        let bytes = answer(catalog, question, from, Protocol::Tcp, u16::MAX).await;
        if bytes.is_empty() {
            return Ok(());
        }
        s.write_all(&(bytes.len() as u16).to_be_bytes()).await?;
        s.write_all(&bytes).await?;
    }
}
