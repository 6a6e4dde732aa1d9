//! The lab file's own users and tunnels.

use super::{Aaa, Grant, Number, Subscriber, TunnelTo, Verdict, realm};
use crate::settings::{TunnelSettings, User};
use node::Time;
use std::collections::VecDeque;

/// Judges by lists.
#[derive(Debug)]
pub(crate) struct Local {
    users: Vec<User>,
    verdicts: VecDeque<(Number, Verdict)>,
}

impl Local {
    pub(crate) fn new(users: &[User]) -> Local {
        Local { users: users.to_vec(), verdicts: VecDeque::new() }
    }

    fn judge(&self, who: &Subscriber) -> Verdict {
        let Some(proof) = &who.proof else { return Verdict::Granted(Grant::default()) };
        match self.users.iter().find(|u| u.name == who.user) {
            Some(u) if proof.shows(&u.password) => Verdict::Granted(Grant { address: u.address, ..Grant::default() }),
            Some(_) => Verdict::Refused("wrong password".into()),
            None => match realm(&who.user) {
                Some(r) if !self.users.iter().any(|u| realm(&u.name) == Some(r)) => Verdict::Refused(format!("unknown realm `{r}`")),
                _ => Verdict::Refused("unknown user".into()),
            },
        }
    }
}

impl Aaa for Local {
    fn authenticate(&mut self, _: Time, who: Subscriber) {
        let v = self.judge(&who);
        self.verdicts.push_back((who.number, v));
    }

    fn verdict(&mut self) -> Option<(Number, Verdict)> {
        self.verdicts.pop_front()
    }

    fn forget(&mut self, _: Number) {}
}

/// The tunnel of a user's realm. A realm of the lab file's users is not tunnelled
/// by `*`.
pub(crate) fn tunnel(tunnels: &[TunnelSettings], users: &[User], user: &str) -> Option<TunnelTo> {
    let r = realm(user);
    let own = |u: &User| u.name == user || (r.is_some() && realm(&u.name) == r);
    let exact = tunnels.iter().find(|t| Some(t.realm.as_str()) == r);
    let t = exact.or_else(|| tunnels.iter().find(|t| t.realm == "*" && !users.iter().any(own)))?;
    Some(TunnelTo {
        lns: t.lns.clone(),
        name: t.realm.clone(),
        host_name: t.host_name.clone(),
        secret: t.secret.clone(),
        hide: t.hide,
        sequencing: t.sequencing,
        too_big: t.too_big,
    })
}
