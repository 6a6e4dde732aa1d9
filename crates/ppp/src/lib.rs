//! ppp
