//! Tests of a folder as a machine's disk, on real files and without privileges.

use super::*;
use std::io::ErrorKind;

fn machine() -> Machine {
    Machine::new(MachineConfig {
        name: "disk".to_owned(),
        seed: Some(1),
        stack: Config::default(),
        interfaces: Vec::new(),
    })
    .unwrap()
}

/// A folder that goes with the test.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("tapstack-disk-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_machine_without_a_folder_says_what_is_missing() {
    let error = machine().host().disk().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("set_disk"), "{error}");
}

#[test]
fn files_are_written_synced_renamed_and_found_again_by_the_next_machine() {
    let scratch = Scratch::new("again");
    let first = machine();
    first.set_disk(&scratch.0).unwrap();
    let disk = first.host().disk().unwrap();
    first
        .run(async {
            let file = disk.create("new").unwrap();
            assert_eq!(file.append(b"one ").unwrap(), 0);
            assert_eq!(file.append(b"two").unwrap(), 4);
            file.write_at(0, b"ONE").unwrap();
            let (a, b) = (file.clone(), file.clone());
            let both = (disk.clone(), first.host());
            let task = both.1.spawn(async move { a.sync().await });
            b.sync().await.unwrap();
            task.await.unwrap().unwrap();
            disk.rename("new", "log").unwrap();
            disk.create("gone").unwrap();
            disk.remove("gone").unwrap();
            disk.sync().await.unwrap();
        })
        .unwrap();
    let second = machine();
    assert_eq!(second.set_disk(&scratch.0).unwrap_err().kind(), ErrorKind::ResourceBusy);
    drop((disk, first));
    second.set_disk(&scratch.0).unwrap();
    let disk = second.host().disk().unwrap();
    assert_eq!(disk.list().unwrap(), ["log"]);
    let file = disk.open("log").unwrap();
    assert_eq!(file.read_all(100).unwrap(), b"ONE two");
    file.truncate(3).unwrap();
    assert_eq!((file.len().unwrap(), file.read_all(3).unwrap()), (3, b"ONE".to_vec()));
    assert_eq!(file.read_all(2).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn names_stay_inside_the_folder() {
    let scratch = Scratch::new("names");
    let machine = machine();
    machine.set_disk(&scratch.0).unwrap();
    let disk = machine.host().disk().unwrap();
    for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", &"x".repeat(201)] {
        assert_eq!(disk.create(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(disk.rename("a", name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    assert_eq!(disk.open("absent").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.list().unwrap(), Vec::<String>::new());
}
