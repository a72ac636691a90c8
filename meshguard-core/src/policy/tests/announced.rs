//! Documents that announce their digest.

use crate::policy::{Policy, PolicyErrorKind as Kind, Syntax, announce};

const TOML: &str = "# a comment\nmesh = \"m\"\nversion = 7\n[[allow]]\nname = \"all\"\n";
const YAML: &str = "mesh: m\nversion: 7\nallow:\n  - name: all\n";

fn kind(text: &str) -> Kind {
    text.parse::<Policy>().unwrap_err().kind()
}

#[test]
fn a_document_that_meets_its_digest_is_read_in_both_syntaxes() {
    for (text, syntax) in [(TOML, Syntax::Toml), (YAML, Syntax::Yaml)] {
        let plain = Policy::read(text, syntax).unwrap();
        assert!(!plain.announces_digest());
        let announced = Policy::read(&announce(text), syntax).unwrap();
        assert!(announced.announces_digest());
        assert_eq!(announced.to_toml(), plain.to_toml());
        assert_ne!(announced.digest(), plain.digest(), "of all of the text");
        assert_eq!(announce(&announce(text)), announce(text), "an earlier line is replaced");
        let windows = announce(&text.replace('\n', "\r\n"));
        assert_eq!(windows.matches("\r\n").count(), windows.matches('\n').count());
        assert!(Policy::read(&windows, syntax).unwrap().announces_digest());
    }
    assert_eq!(Policy::deny_all().digest(), None);
    let policy: Policy = TOML.parse().unwrap();
    assert_eq!(policy.expired().digest(), policy.digest());
}

/// The whole denies; there are prefixes of it that allow, without the first line.
#[test]
fn no_prefix_of_a_document_that_announces_its_digest_is_read() {
    let text = "mesh = 'm'\nversion = 1\n[[allow]]\nname = 'all'\n[[deny]]\nname = 'all-again'\n";
    let readable = (0..text.len()).filter(|end| text[..*end].parse::<Policy>().is_ok()).count();
    assert!(readable > 2, "{readable} prefixes of it are documents themselves");
    let text = announce(text);
    for end in 0..text.len() {
        let read = text[..end].parse::<Policy>();
        assert!(read.is_err(), "the first {end} bytes: {:?}", read.unwrap());
    }
    assert!(text.parse::<Policy>().is_ok());
}

#[test]
fn what_is_announced_and_not_met_is_refused_with_its_place() {
    let text = announce(TOML);
    assert_eq!(kind(&format!("{text}# more\n")), Kind::DigestDiffers);
    assert_eq!(kind(&text.replace("version = 7", "version = 8")), Kind::DigestDiffers);
    assert_eq!(kind(&text.replace('\n', "\r\n")), Kind::DigestDiffers);
    // Before anything else is said of it: half a document is not one with a fault in it.
    let error = text[..text.len() - 3].parse::<Policy>().unwrap_err();
    assert_eq!((error.kind(), error.line()), (Kind::DigestDiffers, 1));
    assert!(error.hint().unwrap().contains("meshguard policy digest"));
}

#[test]
fn an_announcement_that_is_not_understood_is_not_passed_over() {
    let text = announce(TOML);
    let (line, body) = text.split_once('\n').unwrap();
    for bad in [
        line.replace("sha256", "sha512"),
        line[..40].to_owned(),
        line.replace("of what follows", "of something else"),
        "# meshguard: sha256=".to_owned(),
        format!("# meshguard: sha256={}", "g".repeat(64)),
        format!("# meshguard: sha256={}ä", "0".repeat(63)),
        line.replace("sha256", "SHA-256"),
    ] {
        assert_eq!(kind(&format!("{bad}\n{body}")), Kind::BadAnnouncement, "{bad}");
    }
    let late = format!("# by the platform team\n\n{text}").parse::<Policy>().unwrap_err();
    assert_eq!((late.kind(), late.line()), (Kind::BadAnnouncement, 3));
}

#[test]
fn a_digest_is_understood_as_people_and_tools_write_it() {
    let text = announce(TOML);
    let (line, body) = text.split_once('\n').unwrap();
    let bare = line.strip_suffix(" of what follows").unwrap();
    for line in [
        bare.to_owned(),
        bare.replace("# meshguard: ", "#meshguard:"),
        format!("{line}\r"),
        format!("\u{feff}{line}"),
        line.replace(&line[20..84], &line[20..84].to_uppercase()),
    ] {
        let read = format!("{line}\n{body}").parse::<Policy>();
        assert!(read.unwrap_or_else(|e| panic!("{line:?}: {e}")).announces_digest());
    }
    // What speaks of something else is a comment.
    for comment in ["# meshguard: the shop's policy", "# meshguard = sha256", "# sha256=00"] {
        assert!(!format!("{comment}\n{TOML}").parse::<Policy>().unwrap().announces_digest());
    }
}
