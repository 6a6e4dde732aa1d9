//! Uploads: a body goes to a file of the node's own folder, whole or not at all.

use crate::server::Site;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use node::Clock;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// A sender that pauses for longer is let go.
const IDLE: Duration = Duration::from_secs(30);

/// Stores `body` under `name`; returns its length and whether it is new.
pub(crate) async fn store(site: &Site, clock: &Clock, name: &str, mut body: Incoming) -> Result<(u64, bool), StatusCode> {
    let most = site.settings.upload_most.min(site.settings.uploads_most.saturating_sub(site.stored.get()));
    if body.size_hint().lower() > most {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let target = site.uploads.join(name);
    let part = site.uploads.join(format!(".{name}.{:x}.part", clock.now().nanos()));
    let result = receive(&mut body, clock, &part, most).await;
    match result {
        Ok(n) => {
            let old = std::fs::metadata(&target).map(|m| m.len()).ok();
            // Acknowledged only once it has its name.
            if std::fs::rename(&part, &target).is_err() {
                let _ = std::fs::remove_file(&part);
                return Err(StatusCode::INSUFFICIENT_STORAGE);
            }
            site.stored.set(site.stored.get().saturating_sub(old.unwrap_or(0)) + n);
            Ok((n, old.is_none()))
        }
        Err(e) => {
            let _ = std::fs::remove_file(&part);
            Err(e)
        }
    }
}

async fn receive(body: &mut Incoming, clock: &Clock, part: &std::path::Path, most: u64) -> Result<u64, StatusCode> {
    let full = |_| StatusCode::INSUFFICIENT_STORAGE;
    if let Some(dir) = part.parent() {
        std::fs::create_dir_all(dir).map_err(full)?;
    }
    let mut file = File::create(part).map_err(full)?;
    let mut n = 0u64;
    loop {
        match clock.timeout(IDLE, body.frame()).await {
            None => return Err(StatusCode::REQUEST_TIMEOUT),
            Some(None) => break,
            Some(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
            Some(Some(Ok(f))) => {
                let Ok(data) = f.into_data() else { continue };
                n += data.len() as u64;
                if n > most {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                file.write_all(&data).map_err(full)?;
            }
        }
    }
    file.sync_data().map_err(full)?;
    Ok(n)
}
