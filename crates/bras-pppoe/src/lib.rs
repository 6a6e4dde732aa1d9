//! bras-pppoe
