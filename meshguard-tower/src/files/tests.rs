//! What is read, and at which look.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk as _;
use super::fake::Fake;
use super::{Look, PATIENCE, RESTLESS, System, Watched};

const A: &str = "/a";
const B: &str = "/b";

fn watched(disk: &Fake, paths: &[&str]) -> Watched {
    Watched::new(disk.disk(), paths.iter().map(PathBuf::from).collect(), 1 << 20)
}

/// What a look reads, if it does; a file that is not there is `-`.
fn look(watched: &mut Watched) -> Option<Vec<String>> {
    match watched.look() {
        Look::Read(texts) => Some(texts.into_iter().map(text).collect()),
        _ => None,
    }
}

fn text(text: super::Text) -> String {
    text.map_or("-".into(), |text| String::from_utf8(text.to_vec()).unwrap())
}

fn now(watched: &mut Watched) -> Result<Vec<String>, PathBuf> {
    let read = watched.now().map_err(|e| e.0)?;
    Ok(read.into_iter().map(text).collect())
}

/// A file that was read, a minute ago.
fn read(disk: &Fake, first: &str) -> Watched {
    disk.write(A, first);
    disk.later();
    let mut watched = watched(disk, &[A]);
    assert_eq!(now(&mut watched), Ok(vec![first.to_owned()]));
    watched
}

#[test]
fn a_file_is_read_when_it_was_the_same_at_two_looks() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    assert!(matches!(watched.look(), Look::Same));
    for half in ["t", "tw", "two"] {
        disk.write(A, half);
        assert_eq!(look(&mut watched), None, "{half:?} is not known to be all");
    }
    assert_eq!(look(&mut watched), Some(vec!["two".into()]), "an editor has saved it in place");
    assert!(matches!(watched.look(), Look::Same));
}

/// A copy that keeps times, and as many bytes: neither tells anything.
#[test]
fn a_file_of_the_same_time_and_length_is_another_one() {
    let disk = Fake::default();
    disk.write(B, "");
    let mut watched = read(&disk, "one");
    disk.dated_as(B, A);
    disk.write(A, "two");
    disk.dated_as(A, B);
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["two".into()])));
    disk.rename(A, "six");
    disk.dated_as(A, B);
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["six".into()])));
}

#[test]
fn what_is_written_while_it_is_read_is_not_taken() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    disk.write(A, "tw");
    assert_eq!(look(&mut watched), None);
    disk.at_read(|disk| disk.write(A, "two"));
    assert_eq!(look(&mut watched), None, "`tw` was read, and is not all");
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["two".into()])));
}

#[test]
fn a_volume_that_is_swapped_is_read_at_once() {
    let disk = Fake::default();
    disk.swap("..1", &[(A, "one"), (B, "ONE")]);
    disk.later();
    let mut watched = watched(&disk, &[A, B]);
    assert_eq!(look(&mut watched), Some(vec!["one".into(), "ONE".into()]));
    disk.swap("..2", &[(A, "two"), (B, "TWO")]);
    assert_eq!(look(&mut watched), Some(vec!["two".into(), "TWO".into()]));
    // Another swap while it is read: the older and the newer are not taken together.
    disk.swap("..3", &[(A, "three"), (B, "THREE")]);
    disk.at_read(|disk| disk.swap("..4", &[(A, "four"), (B, "FOUR")]));
    assert_eq!(look(&mut watched), None);
    assert_eq!(look(&mut watched), Some(vec!["four".into(), "FOUR".into()]));
}

#[test]
fn what_somebody_writes_inside_of_a_volume_is_no_swap() {
    let disk = Fake::default();
    disk.swap("..1", &[(A, "one")]);
    disk.later();
    let mut watched = watched(&disk, &[A]);
    assert!(look(&mut watched).is_some());
    disk.swap("..1", &[(A, "tw")]);
    assert_eq!(look(&mut watched), None);
}

#[test]
fn files_that_belong_together_are_read_when_all_are_still() {
    let disk = Fake::default();
    disk.write(A, "one");
    disk.write(B, "ONE");
    disk.later();
    let mut watched = watched(&disk, &[A, B]);
    assert!(look(&mut watched).is_some());
    disk.rename(A, "two");
    assert_eq!(look(&mut watched), None);
    disk.rename(B, "TWO");
    assert_eq!(look(&mut watched), None, "they are not what they were at the look before");
    assert_eq!(look(&mut watched), Some(vec!["two".into(), "TWO".into()]));
}

#[test]
fn a_file_that_is_gone_for_one_look_was_being_replaced() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    disk.remove(A);
    assert_eq!(look(&mut watched), None);
    disk.write(A, "two");
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["two".into()])));
    disk.remove(A);
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["-".into()])));
}

#[test]
fn a_caller_that_cannot_come_back_waits_for_a_second_look() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    disk.write(A, "tw");
    disk.at_wait(|disk| disk.write(A, "two"));
    assert_eq!(now(&mut watched), Err(A.into()), "somebody writes it");
    assert_eq!(now(&mut watched), Ok(vec!["two".into()]));
    // Nothing has changed for long: there is nothing to wait for.
    disk.later();
    disk.at_wait(|_| panic!("waited"));
    assert_eq!(now(&mut watched), Ok(vec!["two".into()]));
    // Not even then what is written under the reader.
    disk.at_read(|disk| disk.write(A, "three"));
    assert_eq!(now(&mut watched), Err(A.into()));
}

/// What was read is read again, by one look where nothing has changed since, and by two where it has:
/// that it has been still for long, by a clock, says nothing then.
#[test]
fn what_is_forgotten_is_read_again_by_two_looks() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    watched.forget();
    assert_eq!(look(&mut watched), Some(vec!["one".into()]));
    disk.write(A, "two");
    disk.later();
    watched.forget();
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["two".into()])));
}

#[test]
fn several_that_are_read_now_wait_once_and_each_is_judged_by_itself() {
    let disk = Fake::default();
    disk.write(A, "one");
    disk.write(B, "ON");
    disk.at_wait(|disk| disk.write(B, "ONE"));
    disk.at_wait(|_| panic!("waited twice"));
    let (mut first, mut second) = (watched(&disk, &[A]), watched(&disk, &[B]));
    let read = Watched::all_now(&mut [&mut first, &mut second]);
    let [Ok(texts), Err(unsettled)] = &read[..] else { panic!("{read:?}") };
    assert_eq!(&**texts[0].as_ref().unwrap(), b"one");
    assert_eq!(unsettled.0, Path::new(B));
}

#[test]
fn a_start_waits_for_a_writer_and_not_for_ever() {
    let disk = Fake::default();
    disk.write(A, "o");
    for half in ["on", "one"] {
        disk.at_wait(move |disk| disk.write(A, half));
    }
    let first = watched(&disk, &[A]).first().unwrap();
    assert_eq!(first.into_iter().map(text).collect::<Vec<_>>(), ["one"]);
    for _ in 0..=PATIENCE {
        disk.at_wait(|disk| disk.write(A, "?"));
    }
    assert_eq!(watched(&disk, &[A]).first().unwrap_err().0, Path::new(A));
    assert_eq!(disk.waits(), 1, "it has looked as often as it has patience");
}

#[test]
fn a_file_that_is_never_still_is_told_once() {
    let disk = Fake::default();
    let mut watched = read(&disk, "one");
    let told = (0..3 * RESTLESS).filter(|_| {
        disk.write(A, "two");
        matches!(watched.look(), Look::Restless(_))
    });
    assert_eq!(told.count(), 1);
    assert_eq!(look(&mut watched), Some(vec!["two".into()]));
}

#[test]
fn the_systems_marks_tell_every_change_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("policy.toml"), dir.path().join("other"));
    let mark = || System.mark(&path);
    assert_eq!(mark().file, None);
    fs::write(&path, "one").unwrap();
    let first = mark();
    assert_eq!(mark(), first);
    // Another file of the same length and time.
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&other, "two").unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
    fs::rename(&other, &path).unwrap();
    let second = mark();
    assert_ne!(second, first);
    assert_eq!(second.file.unwrap().modified, first.file.unwrap().modified);
    // More of it.
    File::options().append(true).open(&path).unwrap().write_all(b"!").unwrap();
    assert_ne!(mark(), second);
    assert_eq!(&**System.read(&path, 4).unwrap(), b"two!");
    assert_eq!(System.read(&path, 3).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
}

/// As a kubelet mounts a ConfigMap or Secret.
#[cfg(unix)]
#[test]
fn a_mounted_volume_is_read_at_the_look_after_its_swap() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("policy.toml"), text).unwrap();
        symlink(name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    put("..2026_1", "one");
    let path = dir.path().join("policy.toml");
    symlink("..data/policy.toml", &path).unwrap();
    let mut watched = Watched::new(Arc::new(System), vec![path], 1 << 20);
    assert!(matches!(watched.first().unwrap()[..], [Ok(_)]));
    put("..2026_2", "two");
    assert_eq!(look(&mut watched), Some(vec!["two".into()]));
    // In place, within the volume: as any other file.
    fs::write(dir.path().join("..data/policy.toml"), "three").unwrap();
    assert_eq!((look(&mut watched), look(&mut watched)), (None, Some(vec!["three".into()])));
    // A `..data` beside a file that is not reached by it says nothing.
    let beside = dir.path().join("other.toml");
    fs::write(&beside, "x").unwrap();
    assert_eq!(System.mark(&beside).volume, None);
}

/// What shells call `<(…)`: its times change as it is written, and what was read is gone. This one's
/// writer is at work until all is read, since there is more of it than a pipe holds.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_once() {
    use std::os::fd::AsRawFd as _;
    let (end, mut writer) = std::io::pipe().unwrap();
    let whole = "one".repeat(100_000);
    let sent = whole.clone();
    let writing = std::thread::spawn(move || writer.write_all(sent.as_bytes()).unwrap());
    let path = PathBuf::from(format!("/proc/self/fd/{}", end.as_raw_fd()));
    let mut watched = Watched::new(Arc::new(System), vec![path], 1 << 20);
    let read: Vec<_> = watched.first().unwrap().into_iter().map(text).collect();
    assert!(read == [whole], "{} bytes", read[0].len());
    writing.join().unwrap();
    assert!(matches!(watched.look(), Look::Same));
}
