//! The lab as a normal user: nobody, with a /dev/net/tun of the test's own.

use integration::{Scratch, bin, root};
use std::process::Command;

/// In a mount namespace of its own: a /dev/net/tun that all may open, and the
/// programs where nobody may reach them.
const STAGE: &str = "set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/bin /mnt/labs
mount --bind \"$BIN\" /mnt/bin
mount --bind \"$LABS\" /mnt/labs
cd /
exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -ec \"$PLAY\"";

const PLAY: &str = r#"
export HOME=/tmp
unset XDG_RUNTIME_DIR
lab="/mnt/bin/lab --files /mnt/labs"
id -u
$lab check | tail -n 1
trap '$lab -l $NAME down' EXIT
$lab up web-path --name $NAME
$lab -l $NAME curl -sS -i http://www.example.com/
$lab -l $NAME curl -sS -i http://www.example.com/
$lab -l $NAME exec client client http://www.example.com/
$lab -l $NAME exec pc ping -c 1 www.example.com
$lab -l $NAME exec pc id -u
$lab -l $NAME show bas sessions
$lab -l $NAME exec pc traceroute -w 3,100,100 www.example.com
$lab -l $NAME journey --brief http://www.example.com/about/
$lab -l $NAME journey --from pc --brief http://www.example.com/ --pcapng $OUT/j.pcapng
$lab -l $NAME journey --packet 1 --brief
$lab -l $NAME pause
$lab -l $NAME step
$lab -l $NAME resume
$lab -l $NAME restart bas
$lab -l $NAME link pc.eth0 set delay 3ms
$lab -l $NAME link core1.core2 set loss 0%
$lab -l $NAME signal client.eth0
timeout -s INT 4 $lab -l $NAME capture pc -w $OUT/pc.pcapng &
sleep 1
$lab -l $NAME curl -sS -o /dev/null http://www.example.com/
wait || true
"#;

#[test]
fn a_normal_user_can_do_it_too() {
    let out = Scratch::new();
    let _ = std::os::unix::fs::chown(&out.0, Some(65_534), Some(65_534));
    let lab = bin("lab");
    let o = Command::new("unshare")
        .args(["--mount", "sh", "-c", STAGE])
        .env("BIN", lab.parent().expect("a folder"))
        .env("LABS", root().join("netns-scripts/labs"))
        .env("PLAY", PLAY)
        .env("NAME", integration::fresh_name())
        .env("OUT", &out.0)
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&o.stdout).into_owned();
    let err = String::from_utf8_lossy(&o.stderr).into_owned();
    assert!(o.status.success(), "{said}\n{err}");
    for word in [
        "65534",
        "This machine can run labs.",
        "is up",
        "Hello from the other end",
        "cache; hit",
        "# Hello from the other end",
        "1 received",
        "kim@isp.example",
        "pc.eth0 to switch.pc: delay 3ms",
        "core1.core2 to core2.core1: clean",
        "received whole",
        "page drawn",
        "curl has the answer: status 200",
        "is paused: 15 roles stand",
        "goes on",
        "is down",
    ] {
        assert!(said.contains(word), "{word}:\n{said}\n{err}");
    }
    for file in ["pc.pcapng", "j.pcapng"] {
        let seen = integration::tool("tshark", &["-r", &out.path(file), "-Y", "http.request && frame.packet_id"]).good().out;
        assert!(seen.contains("GET / HTTP/1.1"), "{file}: {seen}");
    }
}
