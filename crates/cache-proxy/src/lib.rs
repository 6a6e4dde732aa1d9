//! cache-proxy
