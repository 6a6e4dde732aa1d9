//! Ten thousand sessions over one LAC and one LNS.

#[path = "../sessions.rs"]
mod sessions;

#[test]
fn ten_thousand_sessions_come_up() {
    let o = sessions::run(10_000);
    let rate = o.up as f64 / o.took.as_secs_f64();
    println!("{} sessions up, {rate:.0} a second of this machine, {} bytes each at LAC and LNS", o.up, o.bytes_each);
    assert_eq!(o.up, 10_000);
}
