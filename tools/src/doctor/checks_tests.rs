//! The doctor's verdicts on machines of every kind.

use super::super::facts::{Facts, Installer, TunNode};
use super::super::page_lists::PageLists;
use super::*;

/// An ordinary user on a machine where all is well.
fn sound() -> Facts {
    Facts {
        linux: Some("Linux 6.1".to_owned()),
        tun: TunNode::Opens,
        root: false,
        may_make_namespaces: false,
        container: false,
        user_namespaces_max: Some(15_000),
        userns_clone: None,
        apparmor_restricts: None,
        page_lists: Some(PageLists { longest: 1_000, managed: 4_000_000, cores: 8, page: 4096 }),
        trial: Some(Ok("works".to_owned())),
        wireshark: Some("/usr/bin/wireshark".into()),
        tshark: Some("/usr/bin/tshark".into()),
        test_packages_missing: Vec::new(),
        installer: Some(Installer::Apt),
    }
}

fn find<'a>(rows: &'a [Check], what: &str) -> &'a Check {
    rows.iter().find(|c| c.what == what).unwrap_or_else(|| panic!("no row {what}"))
}

#[test]
fn nothing_is_missing_on_a_sound_machine() {
    let rows = checks(&sound());
    assert!(rows.iter().all(|c| c.state == State::Ok && c.mend.is_none()), "{rows:?}");
}

#[test]
fn a_closed_tun_node_is_opened_with_chmod() {
    let facts = Facts { tun: TunNode::Denied, trial: None, ..sound() };
    let rows = checks(&facts);
    assert_eq!(find(&rows, "TAP device").state, State::Missing);
    assert_eq!(find(&rows, "TAP device").mend.as_deref(), Some("sudo chmod 666 /dev/net/tun"));
    assert_eq!(find(&rows, "real try").state, State::Untried);
}

#[test]
fn apparmor_is_named_with_its_switch() {
    let rows = checks(&Facts { apparmor_restricts: Some(true), ..sound() });
    let row = find(&rows, "namespaces");
    assert_eq!(row.state, State::Missing);
    assert_eq!(row.mend.as_deref(), Some("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"));
    let root = Facts { apparmor_restricts: Some(true), may_make_namespaces: true, root: true, ..sound() };
    assert_eq!(find(&checks(&root), "namespaces").state, State::Ok, "it does not bind root");
}

#[test]
fn switched_off_user_namespaces_are_named_before_other_switches() {
    let rows = checks(&Facts { user_namespaces_max: Some(0), userns_clone: Some(false), ..sound() });
    let mend = find(&rows, "namespaces").mend.clone().expect("a mend");
    assert!(mend.contains("user.max_user_namespaces"), "{mend}");
    let rows = checks(&Facts { userns_clone: Some(false), ..sound() });
    let mend = find(&rows, "namespaces").mend.clone().expect("a mend");
    assert!(mend.contains("unprivileged_userns_clone"), "{mend}");
}

#[test]
fn root_is_not_told_to_use_sudo() {
    let rows = checks(&Facts { root: true, tun: TunNode::NoDriver, ..sound() });
    assert_eq!(find(&rows, "TAP device").mend.as_deref(), Some("modprobe tun"));
}

#[test]
fn what_is_only_handy_is_not_missing() {
    let facts =
        Facts { wireshark: None, tshark: None, test_packages_missing: vec!["curl", "iperf3"], ..sound() };
    let rows = checks(&facts);
    assert!(rows.iter().all(|c| c.state != State::Missing));
    assert_eq!(find(&rows, "Wireshark").mend.as_deref(), Some("sudo apt-get install wireshark"));
    assert_eq!(find(&rows, "test tools").mend.as_deref(), Some("sudo apt-get install curl iperf3"));
}

#[test]
fn long_page_lists_are_shortened() {
    let lists = PageLists { longest: 10_000, managed: 6_000_000, cores: 2, page: 4096 };
    let rows = checks(&Facts { page_lists: Some(lists), ..sound() });
    let row = find(&rows, "page lists");
    assert_eq!(row.state, State::Optional);
    assert!(row.detail.contains("39 MiB"), "{row:?}");
    assert_eq!(row.mend.as_deref(), Some("sudo sysctl -w vm.percpu_pagelist_high_fraction=1465"));
    let rows = checks(&Facts { page_lists: None, ..sound() });
    assert_eq!(find(&rows, "page lists").state, State::Ok);
}

#[test]
fn other_systems_are_told_of_the_simulated_world() {
    let rows = checks(&Facts { linux: None, trial: None, ..sound() });
    assert_eq!(find(&rows, "system").state, State::Missing);
    assert!(find(&rows, "system").detail.contains("simulated"));
}
