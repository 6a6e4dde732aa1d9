//! The authentication phase of a link (RFC 1661 §3.5): PAP and CHAP, both sides.

use crate::auth::{self, AuthProtocol, Proof, chap_md5, put_sized, sized};
use crate::ipcp::{Addresses, IpcpOptions};
use crate::link::{Event, Phase, Ppp, Side, text};
use node::Time;
use std::time::Duration;
use wire::ppp::{Control, protocol};

/// Between tries of authentication.
pub(crate) const AUTH_RETRY: Duration = Duration::from_secs(1);
/// Tries before giving up.
const AUTH_TRIES: u32 = 10;

impl Ppp {
    /// Sends our side's authentication packet again, or gives up.
    pub(crate) fn try_again(&mut self, now: Time) {
        let Some(t) = &mut self.trying else { return };
        t.tries += 1;
        t.next = now + AUTH_RETRY;
        if t.tries > AUTH_TRIES {
            return self.close(now, "authentication: the peer does not answer");
        }
        let tries = t.tries;
        match (&self.config.side, self.auth_protocol()) {
            (Side::Client { user, password }, Some(AuthProtocol::Pap)) => {
                let mut data = Vec::new();
                put_sized(&mut data, user.as_bytes());
                put_sized(&mut data, password.as_bytes());
                self.out.push(Control { code: auth::pap::REQUEST, id: tries as u8, data: &data }.to_vec(protocol::PAP));
            }
            (Side::Server { name, .. }, Some(AuthProtocol::Chap)) => {
                let mut data = Vec::new();
                put_sized(&mut data, &self.config.challenge);
                data.extend_from_slice(name.as_bytes());
                self.out.push(Control { code: auth::chap::CHALLENGE, id: self.chap_id, data: &data }.to_vec(protocol::CHAP));
            }
            _ => {}
        }
    }

    pub(crate) fn pap_input(&mut self, now: Time, c: &Control<'_>) -> bool {
        match (c.code, &self.config.side) {
            (auth::pap::REQUEST, Side::Server { .. }) if self.lcp.options.demanded() == Some(AuthProtocol::Pap) => {
                let Some((user, rest)) = sized(c.data) else { return false };
                let Some((password, _)) = sized(rest) else { return false };
                self.chap_id = c.id;
                self.proof(text(user), Proof::Pap(password.to_vec()));
                true
            }
            (auth::pap::ACK, Side::Client { .. }) if self.phase == Phase::Authenticate => {
                self.network(now, IpcpOptions::client());
                true
            }
            (auth::pap::NAK, Side::Client { .. }) if self.phase == Phase::Authenticate => {
                let said = sized(c.data).map(|(m, _)| text(m)).unwrap_or_default();
                self.refused(now, &said);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn chap_input(&mut self, now: Time, c: &Control<'_>) -> bool {
        match (c.code, &self.config.side) {
            (auth::chap::CHALLENGE, Side::Client { user, password }) => {
                let Some((challenge, _name)) = sized(c.data) else { return false };
                let mut data = Vec::new();
                put_sized(&mut data, &chap_md5(c.id, password.as_bytes(), challenge));
                data.extend_from_slice(user.as_bytes());
                self.out.push(Control { code: auth::chap::RESPONSE, id: c.id, data: &data }.to_vec(protocol::CHAP));
                true
            }
            (auth::chap::RESPONSE, Side::Server { .. })
                if c.id == self.chap_id && self.lcp.options.demanded() == Some(AuthProtocol::Chap) =>
            {
                let Some((response, name)) = sized(c.data) else { return false };
                let proof = Proof::Chap { id: c.id, challenge: self.config.challenge.to_vec(), response: response.to_vec() };
                self.proof(text(name), proof);
                true
            }
            (auth::chap::SUCCESS, Side::Client { .. }) if self.phase == Phase::Authenticate => {
                self.network(now, IpcpOptions::client());
                true
            }
            (auth::chap::FAILURE, Side::Client { .. }) if self.phase == Phase::Authenticate => {
                let said = text(c.data);
                self.refused(now, &said);
                true
            }
            // A repeated Success after IPCP began is no harm.
            (auth::chap::SUCCESS, Side::Client { .. }) => true,
            _ => false,
        }
    }

    fn proof(&mut self, user: String, proof: Proof) {
        if self.judged {
            // RFC 1994 §4.2, RFC 1334 §2.2.1: our answer was lost; say it again.
            self.answer(true, "welcome");
        } else if self.trying.take().is_some() {
            self.waiting = Some(proof.clone());
            self.events.push_back(Event::Authenticate { user, proof });
        }
    }

    fn refused(&mut self, now: Time, said: &str) {
        let why = if said.is_empty() { "no reason given" } else { said };
        let reason = format!("authentication failed: {why}");
        self.reason = Some(reason.clone());
        self.close(now, &reason);
    }

    fn answer(&mut self, good: bool, message: &str) {
        let packet = match self.lcp.options.demanded() {
            Some(AuthProtocol::Chap) => {
                let code = if good { auth::chap::SUCCESS } else { auth::chap::FAILURE };
                Control { code, id: self.chap_id, data: message.as_bytes() }.to_vec(protocol::CHAP)
            }
            Some(AuthProtocol::Pap) => {
                let mut data = Vec::new();
                put_sized(&mut data, message.as_bytes());
                let code = if good { auth::pap::ACK } else { auth::pap::NAK };
                Control { code, id: self.chap_id, data: &data }.to_vec(protocol::PAP)
            }
            None => return,
        };
        self.out.push(packet);
    }

    /// A server's judgement of a proof: the addresses to agree on, or why not.
    pub fn authenticated(&mut self, now: Time, user: &str, judgement: Result<Addresses, &str>) {
        if self.phase != Phase::Authenticate {
            return;
        }
        self.waiting = None;
        match judgement {
            Ok(gift) => {
                self.user = Some(user.to_owned());
                self.judged = true;
                self.answer(true, "welcome");
                self.network(now, IpcpOptions::server(gift));
            }
            Err(why) => {
                self.answer(false, why);
                self.reason = Some(format!("authentication of `{user}` failed: {why}"));
                self.close(now, why);
            }
        }
    }
}
