//! Handing a link from one server to another (RFC 2661 §4.4.5): a LAC negotiates
//! LCP and takes the subscriber's proof, an LNS goes on from there.

use crate::auth::{AuthProtocol, Proof};
use crate::automaton::AutomatonEvent as E;
use crate::lcp::LcpOptions;
use crate::link::{Config, Event, Phase, Ppp, Side};
use crate::machine::{Judgement, Negotiator};
use node::Time;
use wire::ppp::Options;

/// What the first server knows of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// Options of the first Configure-Request received.
    pub first_received: Vec<u8>,
    /// Options of the last one sent, which was acknowledged.
    pub last_sent: Vec<u8>,
    /// Options of the last good one received, which was acknowledged.
    pub last_received: Vec<u8>,
    /// What the subscriber showed.
    pub shown: Option<Shown>,
}

/// A subscriber's proof that nobody has answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The subscriber's name.
    pub user: String,
    /// Its proof.
    pub proof: Proof,
    /// The packet's identifier: the answer must bear it.
    pub id: u8,
}

impl Ppp {
    /// What another server needs to go on with this link. `user` and `proof` are
    /// those of [`Event::Authenticate`]; this end says nothing more.
    pub fn hand_over(&self, user: &str, proof: &Proof) -> Handover {
        let (first, sent, received) = self.lcp.requests();
        let shown = (!self.accepts().is_empty()).then(|| Shown { user: user.to_owned(), proof: proof.clone(), id: self.chap_id });
        Handover { first_received: first.to_vec(), last_sent: sent.to_vec(), last_received: received.to_vec(), shown }
    }

    /// The proof that waits for [`Ppp::authenticated`].
    pub fn shown(&self) -> Option<Proof> {
        self.waiting.clone()
    }

    fn accepts(&self) -> &[AuthProtocol] {
        match &self.config.side {
            Side::Server { accept, .. } => accept,
            Side::Client { .. } => &[],
        }
    }

    /// Goes on with a link that another server has begun. Where this end cannot
    /// live with what was agreed (an MRU that its carrier does not bear, no proof
    /// where it wants one), it negotiates anew, and the subscriber follows.
    pub fn take_over(config: Config, from: &Handover, now: Time) -> Ppp {
        let mut ppp = Ppp::new(config);
        let Some(options) = ppp.acceptable(from) else {
            ppp.open(now);
            return ppp;
        };
        ppp.lcp.options = options;
        ppp.phase = Phase::Establish;
        let mut signals = Vec::new();
        ppp.lcp.event(now, E::Open, &mut Vec::new(), &mut signals);
        ppp.lcp.resume(&from.last_sent, &from.last_received, &mut signals);
        ppp.resumed(now, signals);
        if let Some(s) = from.shown.clone().filter(|s| Some(s.proof.protocol()) == ppp.lcp.options.demanded()) {
            // Our own challenge is not needed: the answer lies before us.
            ppp.trying = None;
            ppp.out.clear();
            ppp.chap_id = s.id;
            ppp.waiting = Some(s.proof.clone());
            ppp.events.push_back(Event::Authenticate { user: s.user, proof: s.proof });
        }
        ppp
    }

    /// The options as they were agreed, if this end would have agreed too.
    fn acceptable(&self, from: &Handover) -> Option<LcpOptions> {
        let wanted = self.accepts();
        let mut ours = LcpOptions::new(self.config.mru, self.config.magic, wanted.to_vec(), vec![]);
        let (mut mru, mut magic, mut auth) = (1500, 0, None);
        for option in Options(&from.last_sent) {
            match option.ok()? {
                (1, [h, l]) => mru = u16::from_be_bytes([*h, *l]),
                (3, value) => auth = Some(AuthProtocol::read(value)?),
                (5, [a, b, c, d]) => magic = u32::from_be_bytes([*a, *b, *c, *d]),
                _ => return None,
            }
        }
        if mru > self.config.mru || (auth.is_none() && !wanted.is_empty()) {
            return None;
        }
        if let Some(a) = auth {
            if !wanted.contains(&a) {
                return None;
            }
            ours.require = vec![a];
        }
        (ours.mru, ours.magic) = (mru, magic);
        (ours.judge(&from.last_received, false) == Judgement::Good).then_some(ours)
    }
}
