//! RPC over a TAP with programs that we did not write: `rpcinfo`, C clients and servers made by `rpcgen -N`, and tshark,
//! which dissects every record.

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: TAP devices are Linux's");
}

#[cfg(target_os = "linux")]
mod calc;
#[cfg(target_os = "linux")]
mod programs;

#[cfg(target_os = "linux")]
fn main() {
    use libtest_mimic::Arguments;
    use std::path::Path;
    use tapstack_tests::rig::{Rig, RigOptions};
    use tapstack_tests::skips::{self, Need, Outcome, program, test};

    type Body = fn(&Rig) -> Outcome;
    const TESTS: &[(&str, &[&str], f64, Body)] = &[
        ("rpcinfo_lists_and_pings_the_stack", &["rpcinfo"], 0.0, programs::rpcinfo),
        ("a_c_client_calls_the_stack", &["rpcgen", "gcc"], 0.0, programs::c_client),
        ("a_c_client_calls_over_a_lossy_wire", &["rpcgen", "gcc"], 0.05, programs::c_client),
        ("the_stack_calls_a_c_server", &["rpcgen", "gcc"], 0.0, programs::c_server),
        ("the_stack_calls_over_a_lossy_wire", &["rpcgen", "gcc"], 0.05, programs::c_server),
        ("any_bytes_get_an_error_or_nothing", &[], 0.0, programs::any_bytes),
    ];
    let tap = skips::enter_testbed();
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpc");
    // What an earlier run left must not be taken for this one's.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder for captures can be made");
    let trials = TESTS.iter().map(|&(name, needed, loss, body)| {
        let needs: Vec<Need> = std::iter::once(tap.clone())
            .chain(needed.iter().map(|needed| program(needed)))
            .chain(needed.contains(&"gcc").then(programs::headers))
            .collect();
        let folder = folder.clone();
        let options = RigOptions { loss, ..RigOptions::default() };
        test(name, needs, move || Rig::run(name, &folder, options, body))
    });
    let ran = libtest_mimic::run(&arguments, trials.collect());
    let own = folder.clone();
    let tshark =
        test("tshark_dissects_every_record", [tap, program("tshark")], move || programs::dissect(&own));
    let looked = libtest_mimic::run(&arguments, vec![tshark]);
    ran.exit_if_failed();
    looked.exit();
}
