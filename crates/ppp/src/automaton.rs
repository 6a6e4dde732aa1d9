//! The option negotiation automaton of RFC 1661 §4, as its table stands there.

/// States (RFC 1661 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Lower layer down, no Open.
    Initial,
    /// Lower layer down, Open.
    Starting,
    /// Up, no Open.
    Closed,
    /// Up, Open, given up or finished by the peer.
    Stopped,
    /// Terminate-Request sent on Close.
    Closing,
    /// Terminate-Request sent, will stop.
    Stopping,
    /// Configure-Request sent.
    ReqSent,
    /// … and acknowledged.
    AckRcvd,
    /// … and the peer's acknowledged.
    AckSent,
    /// Both acknowledged.
    Opened,
}

/// Events (RFC 1661 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AutomatonEvent {
    /// Lower layer is up.
    Up,
    /// Lower layer is down.
    Down,
    /// Administrative open.
    Open,
    /// Administrative close.
    Close,
    /// TO+: timeout with counter > 0.
    TimeoutRetry,
    /// TO-: timeout with counter expired.
    TimeoutGiveUp,
    /// RCR+: receive Configure-Request (good).
    RequestGood,
    /// RCR-: receive Configure-Request (bad).
    RequestBad,
    /// RCA: receive Configure-Ack.
    Ack,
    /// RCN: receive Configure-Nak/Rej.
    Nak,
    /// RTR: receive Terminate-Request.
    TerminateRequest,
    /// RTA: receive Terminate-Ack.
    TerminateAck,
    /// RUC: receive unknown code.
    UnknownCode,
    /// RXJ+: a reject that can be lived with.
    RejectPermitted,
    /// RXJ-: a reject that cannot.
    RejectCatastrophic,
    /// RXR: echo or discard.
    Echo,
}

/// Actions (RFC 1661 §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// tlu
    ThisLayerUp,
    /// tld
    ThisLayerDown,
    /// tls
    ThisLayerStarted,
    /// tlf
    ThisLayerFinished,
    /// irc with the Configure maximum
    InitRestartConfigure,
    /// irc with the Terminate maximum
    InitRestartTerminate,
    /// zrc
    ZeroRestart,
    /// scr
    SendRequest,
    /// sca
    SendAck,
    /// scn
    SendNak,
    /// str
    SendTerminateRequest,
    /// sta
    SendTerminateAck,
    /// scj
    SendCodeReject,
    /// ser
    SendEchoReply,
}

/// One cell of the table: what to do and where to go. `None` for the cells that
/// RFC 1661 marks "-": they cannot happen and change nothing.
pub fn transition(state: State, event: AutomatonEvent) -> Option<(&'static [Action], State)> {
    use Action::{
        InitRestartConfigure as IRC, InitRestartTerminate as IRT, SendAck as SCA, SendCodeReject as SCJ, SendEchoReply as SER,
        SendNak as SCN, SendRequest as SCR, SendTerminateAck as STA, SendTerminateRequest as STR, ThisLayerDown as TLD,
        ThisLayerFinished as TLF, ThisLayerStarted as TLS, ThisLayerUp as TLU, ZeroRestart as ZRC,
    };
    use AutomatonEvent as E;
    use State::{AckRcvd, AckSent, Closed, Closing, Initial, Opened, ReqSent, Starting, Stopped, Stopping};
    Some(match (event, state) {
        (E::Up, Initial) => (&[], Closed),
        (E::Up, Starting) => (&[IRC, SCR], ReqSent),
        (E::Up, _) => return None,

        (E::Down, Initial | Starting) => return None,
        (E::Down, Closed | Closing) => (&[], Initial),
        (E::Down, Stopped) => (&[TLS], Starting),
        (E::Down, Stopping | ReqSent | AckRcvd | AckSent) => (&[], Starting),
        (E::Down, Opened) => (&[TLD], Starting),

        (E::Open, Initial) => (&[TLS], Starting),
        (E::Open, Closed) => (&[IRC, SCR], ReqSent),
        (E::Open, Closing) => (&[], Stopping),
        (E::Open, s) => (&[], s),

        (E::Close, Starting) => (&[TLF], Initial),
        (E::Close, Stopped) => (&[], Closed),
        (E::Close, Stopping) => (&[], Closing),
        (E::Close, ReqSent | AckRcvd | AckSent) => (&[IRT, STR], Closing),
        (E::Close, Opened) => (&[TLD, IRT, STR], Closing),
        (E::Close, s) => (&[], s),

        (E::TimeoutRetry, Closing) => (&[STR], Closing),
        (E::TimeoutRetry, Stopping) => (&[STR], Stopping),
        (E::TimeoutRetry, ReqSent | AckRcvd) => (&[SCR], ReqSent),
        (E::TimeoutRetry, AckSent) => (&[SCR], AckSent),
        (E::TimeoutRetry, _) => return None,
        (E::TimeoutGiveUp, Closing) => (&[TLF], Closed),
        (E::TimeoutGiveUp, Stopping | ReqSent | AckRcvd | AckSent) => (&[TLF], Stopped),
        (E::TimeoutGiveUp, _) => return None,

        // Before the lower layer is up nothing can be received.
        (_, Initial | Starting) => return None,

        (E::RequestGood | E::RequestBad, Closed) => (&[STA], Closed),
        (E::RequestGood, Stopped) => (&[IRC, SCR, SCA], AckSent),
        (E::RequestBad, Stopped) => (&[IRC, SCR, SCN], ReqSent),
        (E::RequestGood, ReqSent | AckSent) => (&[SCA], AckSent),
        (E::RequestGood, AckRcvd) => (&[SCA, TLU], Opened),
        (E::RequestGood, Opened) => (&[TLD, SCR, SCA], AckSent),
        (E::RequestBad, ReqSent | AckSent) => (&[SCN], ReqSent),
        (E::RequestBad, AckRcvd) => (&[SCN], AckRcvd),
        (E::RequestBad, Opened) => (&[TLD, SCR, SCN], ReqSent),
        (E::RequestGood | E::RequestBad, s) => (&[], s),

        (E::Ack | E::Nak, Closed | Stopped) => (&[STA], state),
        (E::Ack, ReqSent) => (&[IRC], AckRcvd),
        (E::Nak, ReqSent) => (&[IRC, SCR], ReqSent),
        (E::Ack | E::Nak, AckRcvd) => (&[SCR], ReqSent),
        (E::Ack, AckSent) => (&[IRC, TLU], Opened),
        (E::Nak, AckSent) => (&[IRC, SCR], AckSent),
        (E::Ack | E::Nak, Opened) => (&[TLD, SCR], ReqSent),
        (E::Ack | E::Nak, s) => (&[], s),

        (E::TerminateRequest, AckRcvd | AckSent) => (&[STA], ReqSent),
        (E::TerminateRequest, Opened) => (&[TLD, ZRC, STA], Stopping),
        (E::TerminateRequest, s) => (&[STA], s),

        (E::TerminateAck, Closing) => (&[TLF], Closed),
        (E::TerminateAck, Stopping) => (&[TLF], Stopped),
        (E::TerminateAck, AckRcvd) => (&[], ReqSent),
        (E::TerminateAck, Opened) => (&[TLD, SCR], ReqSent),
        (E::TerminateAck, s) => (&[], s),

        (E::UnknownCode, s) => (&[SCJ], s),

        (E::RejectPermitted, AckRcvd) => (&[], ReqSent),
        (E::RejectPermitted, s) => (&[], s),
        (E::RejectCatastrophic, Closed | Closing) => (&[TLF], Closed),
        (E::RejectCatastrophic, Stopped | Stopping | ReqSent | AckRcvd | AckSent) => (&[TLF], Stopped),
        (E::RejectCatastrophic, Opened) => (&[TLD, IRT, STR], Stopping),

        (E::Echo, Opened) => (&[SER], Opened),
        (E::Echo, s) => (&[], s),
    })
}
