//! A stub resolver (RFC 1034 §5.3.1) over our UDP sockets.

use crate::net::Net;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use node::{Act, Time};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

/// How long one server is given for one question.
const WAIT: Duration = Duration::from_millis(1500);
/// Rounds over all servers.
const TRIES: usize = 3;
/// Names kept at most.
const CACHED: usize = 1024;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name is not one.
    #[error("`{0}` is not a host name")]
    BadName(String),
    /// The name server says that there is no such name, or no address for it.
    #[error("there is no host `{0}`")]
    NoSuchHost(String),
    /// No name server answered.
    #[error("no name server answered for `{0}`")]
    NoAnswer(String),
    /// The name server could not tell.
    #[error("the name server could not answer for `{0}`: {1}")]
    Failed(String, String),
    /// This node knows no name server.
    #[error("this node has no name server")]
    NoServer,
}

/// Addresses of names, and until when they are good.
type Cache = HashMap<String, (Vec<Ipv4Addr>, Time)>;

/// A resolver with a cache.
#[derive(Clone)]
pub struct Resolver {
    net: Net,
    cache: Rc<RefCell<Cache>>,
}

impl Resolver {
    /// A resolver that asks over `net`.
    pub fn new(net: Net) -> Resolver {
        Resolver { net, cache: Rc::default() }
    }

    /// Names in the cache, with addresses and the time they are good until.
    pub fn cached(&self) -> Vec<(String, Vec<Ipv4Addr>, Time)> {
        self.cache.borrow().iter().map(|(n, (a, t))| (n.clone(), a.clone(), *t)).collect()
    }

    /// Addresses of `name`, and whether they came from the cache; `act` is why it is asked.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn lookup(
        &self,
        local: Ipv4Addr,
        servers: &[Ipv4Addr],
        name: &str,
        act: Option<Act>,
    ) -> Result<(Vec<Ipv4Addr>, bool), ResolveError> {
        let now = self.net.clock().now();
        if let Some((a, until)) = self.cache.borrow().get(name)
            && *until > now
        {
            return Ok((a.clone(), true));
        }
        let mut fqdn = Name::from_utf8(name).map_err(|_| ResolveError::BadName(name.into()))?;
        fqdn.set_fqdn(true);
        if servers.is_empty() {
            return Err(ResolveError::NoServer);
        }
        let socket = self.net.bind_udp(0).map_err(|e| ResolveError::Failed(name.into(), e.to_string()))?;
        socket.acts(act);
        // RFC 5452 §9.2: an identifier that cannot be guessed.
        let id: u16 = rand::random();
        let mut q = Message::new(id, MessageType::Query, OpCode::Query);
        q.metadata.recursion_desired = true;
        q.add_query(Query::query(fqdn.clone(), RecordType::A));
        let bytes = q.to_vec().map_err(|e| ResolveError::Failed(name.into(), e.to_string()))?;
        for server in servers.iter().cycle().take(TRIES * servers.len()) {
            let to = SocketAddrV4::new(*server, 53);
            socket.send_to(local, to, &bytes);
            let answer = self.net.clock().timeout(WAIT, answer(&socket, to, id, &fqdn)).await;
            let Some(m) = answer else { continue };
            return self.judge(name, &m);
        }
        Err(ResolveError::NoAnswer(name.into()))
    }

    fn judge(&self, name: &str, m: &Message) -> Result<(Vec<Ipv4Addr>, bool), ResolveError> {
        match m.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Err(ResolveError::NoSuchHost(name.into())),
            other => return Err(ResolveError::Failed(name.into(), other.to_str().into())),
        }
        let mut ttl = u32::MAX;
        let mut found = Vec::new();
        for r in &m.answers {
            if let RData::A(a) = &r.data {
                found.push(a.0);
                ttl = ttl.min(r.ttl);
            }
        }
        if found.is_empty() {
            return Err(ResolveError::NoSuchHost(name.into()));
        }
        let now = self.net.clock().now();
        let mut cache = self.cache.borrow_mut();
        cache.retain(|_, (_, until)| *until > now);
        if cache.len() < CACHED {
            cache.insert(name.into(), (found.clone(), now + Duration::from_secs(u64::from(ttl.min(86_400)))));
        }
        Ok((found, false))
    }
}

/// The answer to our question; anything else that arrives is passed over.
async fn answer(socket: &crate::UdpSocket, server: SocketAddrV4, id: u16, name: &Name) -> Message {
    loop {
        let (from, _, data) = socket.recv_from().await;
        if from != server {
            continue;
        }
        if let Ok(m) = Message::from_vec(&data)
            && m.metadata.id == id
            && m.metadata.message_type == MessageType::Response
            && m.queries.first().is_some_and(|q| q.name() == name && q.query_type() == RecordType::A)
        {
            return m;
        }
    }
}
