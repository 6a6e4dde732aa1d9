//! Result Code AVP (RFC 2661 §4.4.2): why a tunnel or a call ends.

use wire::be16;

/// Result codes of StopCCN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum StopResult {
    /// The tunnel is not needed any more.
    Clear = 1,
    /// See the error code.
    GeneralError = 2,
    /// The tunnel is there already.
    AlreadyExists = 3,
    /// The peer has not proved itself, or is not known.
    NotAuthorized = 4,
    /// Another protocol version.
    Version = 5,
    /// This end goes down.
    ShutDown = 6,
    /// A message that its state does not allow.
    Fsm = 7,
}

/// Result codes of CDN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum CallResult {
    /// The subscriber's carrier is gone.
    LostCarrier = 1,
    /// See the error code.
    GeneralError = 2,
    /// For administrative reasons: a refusal, an operator, a limit of time.
    Administrative = 3,
    /// What it needs is not free now.
    NoFacilitiesNow = 4,
    /// What it needs is not there.
    NoFacilities = 5,
    /// The destination is not known.
    InvalidDestination = 6,
    /// It was not set up in time.
    TimedOut = 10,
}

/// Error codes behind [`StopResult::GeneralError`] and [`CallResult::GeneralError`].
pub(crate) mod error {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const LENGTH: u16 = 2;
    pub(crate) const RESOURCES: u16 = 4;
    pub(crate) const BAD_SESSION: u16 = 5;
    pub(crate) const UNKNOWN_AVP: u16 = 8;
}

/// A Result Code AVP's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Result code.
    pub result: u16,
    /// Error code.
    pub error: u16,
    /// For a person.
    pub text: String,
}

impl Outcome {
    /// Why a call ends.
    pub fn call(result: CallResult, text: &str) -> Outcome {
        Outcome { result: result as u16, error: error::NONE, text: text.to_owned() }
    }

    pub(crate) fn stop(result: StopResult, error: u16, text: &str) -> Outcome {
        Outcome { result: result as u16, error, text: text.to_owned() }
    }

    pub(crate) fn to_value(&self) -> Vec<u8> {
        let mut v = self.result.to_be_bytes().to_vec();
        v.extend(self.error.to_be_bytes());
        v.extend_from_slice(&self.text.as_bytes()[..self.text.len().min(900)]);
        v
    }

    pub(crate) fn read(v: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(v.get(4..).unwrap_or_default());
        let text = text.chars().map(|c| if c.is_control() { '.' } else { c }).take(200).collect();
        Outcome { result: be16(v, 0).unwrap_or(0), error: be16(v, 2).unwrap_or(0), text }
    }

    /// For a person: `result 4: no address is free`.
    pub fn words(&self, what: &str) -> String {
        let error = if self.error == 0 { String::new() } else { format!(", error {}", self.error) };
        let colon = if self.text.is_empty() { "" } else { ": " };
        format!("{what} result {}{error}{colon}{}", self.result, self.text)
    }
}
