//! Zones from the lab: each node's names, the lab file's records, and the
//! reverse of both.

use crate::Settings;
use anyhow::{Context, Result};
use hickory_proto::rr::rdata::{A, NS, PTR, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordSet, RrKey};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use node::config::NodeConfig;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

const SERIAL: u32 = 1;

/// All names with their addresses, in order; a node's first port gives the bare
/// node name, every port gives `port.node`.
fn names(config: &NodeConfig, s: &Settings) -> Vec<(String, Ipv4Addr)> {
    let mut out = Vec::new();
    for (name, addrs) in &s.records {
        out.extend(addrs.iter().map(|a| (name.trim_end_matches('.').to_owned(), *a)));
    }
    let mut bare = std::collections::HashSet::new();
    for h in &config.hosts {
        if bare.insert(h.node.clone()) {
            out.push((format!("{}.{}", h.node, config.domain), h.addr));
        } else {
            out.push((format!("{}.{}.{}", h.port, h.node, config.domain), h.addr));
        }
    }
    out
}

/// The zone a name belongs to: the node domain, or the name's last two labels.
fn origin(name: &str, domain: &str) -> String {
    if name == domain || name.ends_with(&format!(".{domain}")) {
        return domain.to_owned();
    }
    let labels: Vec<&str> = name.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

struct Zone {
    origin: Name,
    records: BTreeMap<RrKey, RecordSet>,
    ttl: u32,
}

impl Zone {
    fn new(origin: &str, server: &Name, ttl: u32) -> Result<Zone> {
        let name = fqdn(origin)?;
        let mut z = Zone { origin: name.clone(), records: BTreeMap::new(), ttl };
        let mail = fqdn(&format!("hostmaster.{}", origin.trim_end_matches('.')))?;
        z.add(&name, RData::SOA(SOA::new(server.clone(), mail, SERIAL, 3600, 600, 86_400, 60)));
        z.add(&name, RData::NS(NS(server.clone())));
        Ok(z)
    }

    fn add(&mut self, name: &Name, data: RData) {
        let kind = data.record_type();
        let key = RrKey::new(LowerName::new(name), kind);
        let ttl = self.ttl;
        let set = self.records.entry(key).or_insert_with(|| RecordSet::with_ttl(name.clone(), kind, ttl));
        set.insert(Record::from_rdata(name.clone(), ttl, data), SERIAL);
    }
}

fn fqdn(name: &str) -> Result<Name> {
    let mut n = Name::from_utf8(name).with_context(|| format!("`{name}` is not a domain name"))?;
    n.set_fqdn(true);
    Ok(n)
}

/// The catalogue of all zones.
pub(crate) fn catalog(config: &NodeConfig, s: &Settings) -> Result<Catalog> {
    let ttl = s.ttl.unwrap_or(300);
    let server = fqdn(&format!("{}.{}", config.node, config.domain))?;
    let mut zones: HashMap<String, Zone> = HashMap::new();
    let mut reverse: HashMap<Ipv4Addr, Name> = HashMap::new();
    let zone = |zones: &mut HashMap<String, Zone>, origin: &str| -> Result<()> {
        if !zones.contains_key(origin) {
            zones.insert(origin.to_owned(), Zone::new(origin, &server, ttl)?);
        }
        Ok(())
    };
    // The lab's net has no other name server: what is not here is nowhere.
    zone(&mut zones, ".")?;
    zone(&mut zones, &config.domain)?;
    // A node's own name comes before what else is said of its address.
    for h in &config.hosts {
        let bare = config.hosts.iter().find(|o| o.node == h.node).is_some_and(|o| o.addr == h.addr);
        let name = if bare { format!("{}.{}", h.node, config.domain) } else { format!("{}.{}.{}", h.port, h.node, config.domain) };
        reverse.insert(h.addr, fqdn(&name)?);
    }
    for (name, addr) in names(config, s) {
        let o = origin(&name, &config.domain);
        zone(&mut zones, &o)?;
        let n = fqdn(&name)?;
        if let Some(z) = zones.get_mut(&o) {
            z.add(&n, RData::A(A(addr)));
        }
        reverse.entry(addr).or_insert(n);
    }
    for (addr, name) in reverse {
        let [a, b, c, d] = addr.octets();
        let o = format!("{c}.{b}.{a}.in-addr.arpa");
        zone(&mut zones, &o)?;
        if let Some(z) = zones.get_mut(&o) {
            z.add(&fqdn(&format!("{d}.{o}"))?, RData::PTR(PTR(name)));
        }
    }
    let mut catalog = Catalog::new();
    for z in zones.into_values() {
        let origin = z.origin.clone();
        let handler = InMemoryZoneHandler::<TokioRuntimeProvider>::new(origin.clone(), z.records, ZoneType::Primary, AxfrPolicy::Deny)
            .map_err(|e| anyhow::anyhow!("zone {origin}: {e}"))?;
        catalog.upsert(origin.into(), vec![Arc::new(handler)]);
    }
    Ok(catalog)
}
