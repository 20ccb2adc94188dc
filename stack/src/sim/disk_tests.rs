//! Tests of simulated disks: what a crash takes, what it leaves, and that the seed decides it.

use super::*;
use crate::net::Host;
use crate::time::Duration;
use std::io::ErrorKind;

fn one(seed: u64, disk: DiskConfig) -> (Sim, Host) {
    let mut net = Sim::new(seed);
    let config = MachineConfig { name: "a".to_owned(), disk, ..MachineConfig::default() };
    let host = net.machine_with(config);
    (net, host)
}

#[test]
fn what_was_synced_survives_and_a_sync_takes_its_time() {
    let latency = Duration::from_millis(2);
    let (mut net, a) = one(1, DiskConfig { sync_latency: latency, ..DiskConfig::default() });
    net.run(async {
        let file = a.disk().unwrap().create("log").unwrap();
        file.append(b"synced").unwrap();
        file.sync().await.unwrap();
        assert_eq!(a.now(), EPOCH + latency);
    });
    net.crash(&a);
    assert_eq!(a.disk().unwrap_err().kind(), ErrorKind::NetworkDown);
    net.restart(&a);
    let file = a.disk().unwrap().open("log").unwrap();
    assert_eq!(file.read_all(100).unwrap(), b"synced");
    assert_eq!(net.disk_counts(&a).syncs, 1);
}

#[test]
fn unsynced_writes_survive_torn_or_are_lost_each_for_itself() {
    let (mut wholly, mut partly, mut not, mut holes) = (0, 0, 0, 0);
    for seed in 0..200 {
        let (mut net, a) = one(seed, DiskConfig::default());
        net.run(async {
            let file = a.disk().unwrap().create("log").unwrap();
            file.sync().await.unwrap();
            file.append(&[1; 8]).unwrap();
            file.append(&[2; 8]).unwrap();
        });
        net.crash(&a);
        net.restart(&a);
        let bytes = a.disk().unwrap().open("log").unwrap().read_all(100).unwrap();
        let (ones, twos) =
            (bytes.iter().filter(|b| **b == 1).count(), bytes.iter().filter(|b| **b == 2).count());
        assert!(bytes.len() <= 16 && ones <= 8 && twos <= 8, "{bytes:?}");
        wholly += usize::from(ones == 8);
        partly += usize::from((1..8).contains(&ones));
        not += usize::from(ones == 0);
        holes += usize::from(ones < 8 && twos > 0);
        let counts = net.disk_counts(&a);
        assert_eq!(counts.lost + counts.torn + counts.survived, 2);
    }
    assert!(wholly > 20 && partly > 20 && not > 20 && holes > 20, "{wholly} {partly} {not} {holes}");
}

#[test]
fn the_same_seed_tears_the_same_bytes() {
    let run = |seed| {
        let (mut net, a) = one(seed, DiskConfig::default());
        for round in 0..20u8 {
            let file = a.disk().unwrap().create("log").unwrap();
            file.append(&[round; 50]).unwrap();
            net.crash(&a);
            net.restart(&a);
        }
        let disk = a.disk().unwrap();
        (disk.list().unwrap(), disk.create("log").unwrap().read_all(10_000).unwrap())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_and_never_between() {
    let (mut olds, mut news) = (0, 0);
    for seed in 0..100 {
        let (mut net, a) = one(seed, DiskConfig::default());
        net.run(async {
            let disk = a.disk().unwrap();
            let old = disk.create("state").unwrap();
            old.append(b"old").unwrap();
            old.sync().await.unwrap();
            let new = disk.create("state.new").unwrap();
            new.append(b"the new").unwrap();
            new.sync().await.unwrap();
            disk.rename("state.new", "state").unwrap();
            assert_eq!(disk.open("state").unwrap().read_all(10).unwrap(), b"the new");
            assert_eq!(old.read_all(10).unwrap(), b"old", "who had it open still has it");
        });
        net.crash(&a);
        net.restart(&a);
        let disk = a.disk().unwrap();
        match disk.open("state").unwrap().read_all(10).unwrap().as_slice() {
            b"old" => olds += 1,
            b"the new" => news += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(olds > 20 && news > 20, "{olds} {news}");
}

#[test]
fn a_sync_of_the_disk_keeps_names_and_of_a_file_its_content_too() {
    for seed in 0..50 {
        let (mut net, a) = one(seed, DiskConfig::default());
        net.run(async {
            let disk = a.disk().unwrap();
            for name in ["a", "b", "c"] {
                disk.create(name).unwrap();
            }
            disk.remove("b").unwrap();
            disk.rename("c", "d").unwrap();
            disk.sync().await.unwrap();
            disk.create("e").unwrap();
            disk.create("f").unwrap();
        });
        net.crash(&a);
        net.restart(&a);
        let names = a.disk().unwrap().list().unwrap();
        let undone = 4 - names.len() as u64;
        assert!(matches!(names.join(" ").as_str(), "a d" | "a d e" | "a d e f"), "{names:?}");
        assert_eq!(net.disk_counts(&a).names_undone, undone);
    }
}

#[test]
fn a_crash_in_the_middle_of_a_sync_promises_nothing_and_the_waiter_hears_of_it() {
    let config = DiskConfig { sync_latency: Duration::from_millis(5), lost: 1.0, ..DiskConfig::default() };
    let (mut net, a) = one(1, config);
    let controls = net.controls();
    net.run(async {
        let file = a.disk().unwrap().create("log").unwrap();
        file.sync().await.unwrap();
        file.append(b"too late").unwrap();
        let (own, crash) = (a.clone(), controls.clone());
        let syncing = file.sync();
        let mut syncing = std::pin::pin!(syncing);
        assert!(a.timeout(Duration::from_millis(1), syncing.as_mut()).await.is_err());
        crash.crash(&own);
        controls.restart(&own);
        assert_eq!(syncing.await.unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(file.len().unwrap_err().kind(), ErrorKind::NetworkDown, "of the earlier life");
        assert_eq!(a.disk().unwrap().open("log").unwrap().len().unwrap(), 0);
    });
}

#[test]
fn what_is_written_during_a_sync_is_not_part_of_it() {
    let config = DiskConfig { lost: 1.0, torn: 0.0, ..DiskConfig::default() };
    let (mut net, a) = one(1, config);
    net.run(async {
        let file = a.disk().unwrap().create("log").unwrap();
        file.append(b"in time").unwrap();
        let own = file.clone();
        let syncing = a.spawn(async move { own.sync().await });
        a.sleep(Duration::from_micros(50)).await;
        file.append(b", not so").unwrap();
        syncing.await.unwrap().unwrap();
        assert_eq!(file.len().unwrap(), 15);
    });
    net.crash(&a);
    net.restart(&a);
    assert_eq!(a.disk().unwrap().open("log").unwrap().read_all(100).unwrap(), b"in time");
}

#[test]
fn a_full_disk_says_so_and_removed_files_make_room() {
    let (mut net, a) = one(1, DiskConfig { bytes_max: 10, ..DiskConfig::default() });
    net.run(async {
        let disk = a.disk().unwrap();
        let file = disk.create("one").unwrap();
        file.append(&[0; 8]).unwrap();
        assert_eq!(file.append(&[0; 3]).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(file.truncate(u64::MAX).unwrap_err().kind(), ErrorKind::StorageFull);
        drop(file);
        disk.remove("one").unwrap();
        disk.sync().await.unwrap();
        disk.create("two").unwrap().append(&[0; 10]).unwrap();
    });
}
