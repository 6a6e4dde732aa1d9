//! Korean particles, whose form follows the sound before them: 을 or 를, 이 or 가.

/// Each as texts write it, its form behind a final consonant, and behind a vowel.
const PARTICLES: [(&str, &str, &str); 5] =
    [("을(를)", "을", "를"), ("이(가)", "이", "가"), ("은(는)", "은", "는"), ("와(과)", "과", "와"), ("(으)로", "으로", "로")];

/// How a word ends when it is read aloud.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Vowel,
    /// ㄹ, behind which 로 stands as behind a vowel.
    Rieul,
    Consonant,
}

/// The ending of what stands before a particle. Latin words are read letter by
/// letter or as Korean writes them; where that is a matter of taste, as a vowel.
fn ending(before: &str) -> Ending {
    let mut chars = before.chars().rev().skip_while(|c| !c.is_alphanumeric());
    let Some(last) = chars.next() else { return Ending::Vowel };
    match last {
        // A syllable's code holds its final consonant (Unicode 3.12): 0 is none, 8 is ㄹ.
        '가'..='힣' => match (u32::from(last) - u32::from('가')) % 28 {
            0 => Ending::Vowel,
            8 => Ending::Rieul,
            _ => Ending::Consonant,
        },
        '1' | '7' | '8' | 'l' | 'L' => Ending::Rieul,
        '0' | '3' | '6' | 'b' | 'm' | 'M' | 'n' | 'N' => Ending::Consonant,
        'g' if chars.next() == Some('n') && chars.next().is_some_and(|c| "aeiou".contains(c)) => Ending::Consonant,
        _ => Ending::Vowel,
    }
}

/// The text with its particles chosen.
pub(super) fn choose(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    loop {
        let next = PARTICLES.iter().filter_map(|p| rest.find(p.0).map(|at| (at, p))).min_by_key(|(at, _)| *at);
        let Some((at, (written, closed, open))) = next else { break };
        out.push_str(&rest[..at]);
        let is_open = match ending(&out) {
            Ending::Vowel => true,
            Ending::Rieul => *open == "로",
            Ending::Consonant => false,
        };
        out.push_str(if is_open { open } else { closed });
        rest = &rest[at + written.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn they_follow_the_sound_before_them() {
        let cases = [
            ("web이(가) 응답함", "web이 응답함"),
            ("home-router은(는)", "home-router는"),
            ("1460을(를) 1452(으)로", "1460을 1452로"),
            ("198.51.100.81(으)로", "198.51.100.81로"),
            ("203.0.113.3(으)로", "203.0.113.3으로"),
            ("core1와(과) cache와(과)", "core1과 cache와"),
            ("서버은(는) 방화벽을(를) 길(으)로", "서버는 방화벽을 길로"),
            ("http://www.example.com/을(를)", "http://www.example.com/을"),
            ("modem을(를) (DSLAM)이(가) ping이(가) a.png이(가)", "modem을 (DSLAM)이 ping이 a.png가"),
            ("을(를)", "를"),
            ("바뀌지 않음", "바뀌지 않음"),
        ];
        for (written, read) in cases {
            assert_eq!(choose(written.to_owned()), read);
        }
    }
}
