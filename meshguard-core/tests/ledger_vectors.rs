//! The ledger's tree against RFC 6962's, its notes against C2SP's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshguard_core::ledger::{
    Checkpoint, CheckpointError, Note, NoteError, Signer, Tree, TreeHash, Verifier, VerifierKey,
    empty_root, leaf_hash, node_hash,
};
use serde_json::Value;
use support::Rng;

struct AwsLc;

impl Verifier for AwsLc {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
    }
}

struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn merkle() -> Value {
    serde_json::from_str(include_str!("data/rfc6962_merkle.json")).unwrap()
}

fn note() -> Value {
    serde_json::from_str(include_str!("data/c2sp_note.json")).unwrap()
}

fn keys(vectors: &Value) -> Vec<VerifierKey> {
    let keys = vectors["verifier_keys"].as_array().unwrap().iter();
    keys.map(|key| VerifierKey::parse(key.as_str().unwrap()).unwrap()).collect()
}

/// RFC 6962 §2.1, word by word.
fn mth(leaves: &[Vec<u8>]) -> TreeHash {
    match leaves.len() {
        0 => empty_root(),
        1 => leaf_hash(&leaves[0]),
        n => {
            let k = n.next_power_of_two() / 2;
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

#[test]
fn leaves_and_nodes_hash_as_in_rfc_6962() {
    let hashing = &merkle()["hashing"];
    assert_eq!(empty_root().to_vec(), unhex(&hashing["empty_root"]));
    assert_eq!(leaf_hash(b"").to_vec(), unhex(&hashing["empty_leaf"]));
    assert_eq!(leaf_hash(b"L123456").to_vec(), unhex(&hashing["leaf_L123456"]));
    let joined = {
        use sha2::Digest as _;
        sha2::Sha256::digest([&[1][..], b"N123", b"N456"].concat())
    };
    // The vector's halves are shorter than hashes: only the prefix is compared here.
    assert_eq!(joined.to_vec(), unhex(&hashing["node_N123_N456"]));
    let (left, right) = ([3; 32], [4; 32]);
    let whole = {
        use sha2::Digest as _;
        sha2::Sha256::digest([&[1][..], &left, &right].concat())
    };
    assert_eq!(node_hash(&left, &right).to_vec(), whole.to_vec());
}

#[test]
fn the_reference_tree_has_its_root_at_every_size() {
    let vectors = &merkle()["reference_tree"];
    let roots = vectors["roots_hex_by_size"].as_array().unwrap();
    let leaves: Vec<_> = vectors["leaves_hex"].as_array().unwrap().iter().map(unhex).collect();
    assert_eq!((roots.len(), leaves.len()), (9, 8));
    let mut tree = Tree::new();
    assert_eq!(tree.root().to_vec(), unhex(&roots[0]));
    for (leaf, root) in leaves.iter().zip(&roots[1..]) {
        tree.push(leaf_hash(leaf));
        assert_eq!(tree.root().to_vec(), unhex(root), "size {}", tree.size());
    }
}

#[test]
fn the_growing_tree_is_that_of_the_definition() {
    let mut rng = Rng::seeded("the_growing_tree_is_that_of_the_definition");
    let mut leaves = Vec::new();
    let mut tree = Tree::new();
    for size in 1..=300 {
        let len = rng.below(90);
        leaves.push(rng.bytes(len));
        tree.push(leaf_hash(&leaves[size - 1]));
        assert_eq!(tree.root(), mth(&leaves), "size {size}");
        let resumed = Tree::resume(tree.size(), tree.frontier()).unwrap();
        assert_eq!(resumed, tree);
        assert!(tree.frontier().len() <= 9);
    }
    assert_eq!(Tree::resume(300, &tree.frontier()[1..]), None);
}

#[test]
fn notes_by_one_and_two_keys_verify() {
    let vectors = note();
    let [peter, enoch] = &keys(&vectors)[..] else { panic!("two keys") };
    let one = vectors["signed_note"].as_str().unwrap();
    let two = vectors["signed_note_two"].as_str().unwrap();
    let (one, two) = (Note::parse(one.as_bytes()).unwrap(), Note::parse(two.as_bytes()).unwrap());
    assert_eq!(one.text(), vectors["text"].as_str().unwrap());
    assert_eq!((one.signatures().len(), two.signatures().len()), (1, 2));
    assert_eq!(one.verify(peter, &AwsLc), Ok(()));
    assert_eq!(two.verify(peter, &AwsLc), Ok(()));
    assert_eq!(two.verify(enoch, &AwsLc), Ok(()));
    assert_eq!(one.verify(enoch, &AwsLc), Err(NoteError::NotByKey));
}

#[test]
fn every_changed_byte_of_a_note_is_found() {
    let vectors = note();
    let peter = &keys(&vectors)[0];
    let whole = vectors["signed_note"].as_str().unwrap().as_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.to_vec();
            changed[at] ^= 1 << bit;
            let verified = Note::parse(&changed).and_then(|n| n.verify(peter, &AwsLc));
            assert!(verified.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn bad_notes_are_refused_by_name() {
    use NoteError::{BadSignature, Control, Name, NotByKey, SignatureLine, Unsigned, Unterminated};
    let vectors = note();
    let peter = &keys(&vectors)[0];
    let notes = vectors["bad_notes"].as_array().unwrap();
    let expected = [Unsigned, Unsigned, Unterminated, Control, SignatureLine, SignatureLine];
    assert_eq!(notes.len(), expected.len());
    for (bad, expected) in notes.iter().zip(expected) {
        let read = Note::parse(bad.as_str().unwrap().as_bytes());
        assert_eq!(read.and_then(|n| n.verify(peter, &AwsLc)), Err(expected), "{bad}");
    }
    let whole = vectors["signed_note"].as_str().unwrap();
    let other = whole.replace("answer", "anwser");
    assert_eq!(Note::parse(other.as_bytes()).unwrap().verify(peter, &AwsLc), Err(BadSignature));
    let renamed = whole.replace("PeterNeumann", "PeterNewmann");
    assert_eq!(Note::parse(renamed.as_bytes()).unwrap().verify(peter, &AwsLc), Err(NotByKey));
    let plus = whole.replace("PeterNeumann", "Peter+Neumann");
    assert_eq!(Note::parse(plus.as_bytes()), Err(Name));
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Utf8));
    let crowd = whole.to_owned() + &whole[whole.find('—').unwrap()..].repeat(16);
    assert_eq!(Note::parse(crowd.as_bytes()), Err(NoteError::TooManySignatures));
}

#[test]
fn verifier_keys_are_read_as_they_are_written() {
    let vectors = note();
    for (key, text) in keys(&vectors).iter().zip(vectors["verifier_keys"].as_array().unwrap()) {
        assert_eq!(key.to_string(), text.as_str().unwrap());
    }
    let bad = vectors["bad_verifier_keys"].as_array().unwrap();
    assert_eq!(bad.len(), 2);
    for text in bad {
        assert_eq!(VerifierKey::parse(text.as_str().unwrap()), Err(NoteError::Key));
    }
    let text = vectors["verifier_keys"][0].as_str().unwrap();
    let of_another = text.replace("c74f20a3", "c74f20a4");
    assert_eq!(VerifierKey::parse(&of_another), Err(NoteError::Key));
    for name in ["", "a b", "a+b", "a\u{a0}b"] {
        assert_eq!(VerifierKey::new(name, [0; 32]), Err(NoteError::Name));
    }
}

#[test]
fn the_standards_checkpoint_is_read_and_written_alike() {
    let vectors = note();
    let body = vectors["checkpoint_body_example"].as_str().unwrap();
    let checkpoint = Checkpoint::parse(body).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_string(), body);
}

#[test]
fn signing_gives_the_standards_signature_and_opens_again() {
    let vectors = note();
    let private = vectors["signer_key"].as_str().unwrap().splitn(5, '+').nth(4).unwrap();
    let seed = STANDARD.decode(private).unwrap();
    let key = Key(Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap());
    assert_eq!(&key.public_key(), keys(&vectors)[0].public_key());
    // Ed25519 is deterministic: what the text is signed with is in the vector.
    let signature = key.sign(vectors["text"].as_str().unwrap().as_bytes());
    let signed = vectors["signed_note"].as_str().unwrap();
    let parsed = Note::parse(signed.as_bytes()).unwrap();
    assert_eq!(parsed.signatures()[0].bytes, signature);

    let own = VerifierKey::new("a.example/log", key.public_key()).unwrap();
    let checkpoint = Checkpoint { origin: "a.example/log".into(), size: 7, root: [9; 32] };
    let note = checkpoint.sign(&key);
    assert_eq!(Checkpoint::open(note.as_bytes(), &own, &AwsLc), Ok(checkpoint.clone()));
    let other = VerifierKey::new("b.example/log", key.public_key()).unwrap();
    let opened = Checkpoint::open(note.as_bytes(), &other, &AwsLc);
    assert_eq!(opened, Err(CheckpointError::Origin));
}

#[test]
fn what_is_almost_a_checkpoint_is_refused_by_name() {
    let root = STANDARD.encode([9; 32]);
    let refused = |text: String, error| assert_eq!(Checkpoint::parse(&text), Err(error), "{text}");
    refused(format!("o\n7\n{root}"), CheckpointError::Lines);
    refused("o\n7\n".to_owned(), CheckpointError::Lines);
    refused(format!("o\n7\n{root}\nextension\n"), CheckpointError::Lines);
    refused(format!("\n7\n{root}\n"), CheckpointError::Origin);
    for size in ["", "07", "+7", "-7", "7 ", "18446744073709551616"] {
        refused(format!("o\n{size}\n{root}\n"), CheckpointError::Size);
    }
    refused(format!("o\n7\n{}\n", STANDARD.encode([9; 31])), CheckpointError::Root);
    refused(format!("o\n7\n{}\n", root.trim_end_matches('=')), CheckpointError::Root);
    refused(format!("o\n7\n{}\n", root.replace("k=", "l=")), CheckpointError::Root);
}
