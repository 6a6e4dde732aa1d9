//! Whole files over links that lose, delay and reorder.

use integration::{Lab, Scratch, sha256};

const CORE: &str = "ends = [\"core1.core2\", \"core2.core1\"]";

#[test]
fn ten_megabytes_arrive_whole_over_a_lossy_core() {
    let with = format!("{CORE}\nloss = \"1%\"\ndelay = \"20ms\"\nseed = 7");
    let lab = Lab::up_changed("web-path", &[(CORE, &with)]);
    let dir = Scratch::new();
    let file = dir.path("10mb");
    lab.curl(&["-m", "300", "-o", &file, "http://www.example.com/files/10mb.bin"]).good();
    let original = integration::root().join("netns-scripts/labs/site/files/10mb.bin");
    assert_eq!(sha256(&file), sha256(original.to_str().expect("UTF-8")));
    assert!(lab.counter("cable", "link-loss") > 0);
}

#[test]
fn an_upload_arrives_whole_over_a_reordering_core() {
    let with = format!("{CORE}\nreorder = \"5%\"\nduplicate = \"1%\"\ndelay = \"5ms\"\nseed = 7");
    let lab = Lab::up_changed("web-path", &[(CORE, &with)]);
    let dir = Scratch::new();
    let (up, down) = (dir.path("up"), dir.path("down"));
    let data: Vec<u8> = (0..1_048_576u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    std::fs::write(&up, data).expect("writing");
    lab.curl(&["-m", "200", "--data-binary", &format!("@{up}"), "http://www.example.com/upload/r"]).good();
    lab.curl(&["-m", "200", "-o", &down, "http://www.example.com/upload/r"]).good();
    assert_eq!(sha256(&up), sha256(&down));
    assert!(lab.counter("cable", "frames-reordered") > 0);
}
