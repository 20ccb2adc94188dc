//! The kernel over a TAP, in both directions: pings, programs, transfers, many connections, ends of every kind.
//!
//! Each test has a network namespace of its own, and is there up to three times: over a plain TAP, over one where our
//! own wrapper loses one frame in a hundred each way, and over one with super-frames. What crosses the TAP is captured;
//! tshark looks at all captures when the tests are done.

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: TAP devices are Linux's");
}

#[cfg(target_os = "linux")]
mod iperf3;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod tcp;
#[cfg(target_os = "linux")]
mod udp;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{iperf3, programs, tcp, udp};
    use libtest_mimic::{Arguments, Trial};
    use std::path::{Path, PathBuf};
    use tapstack_tests::rig::{Rig, RigOptions};
    use tapstack_tests::skips::{self, Need, Outcome, ensure, program, test};
    use tapstack_tests::tshark;

    type Body = fn(&Rig) -> Outcome;

    /// A device between machine and kernel, and how tests over it are called.
    type Way = (&'static str, RigOptions);

    const PLAIN: Way = ("plain", RigOptions { offload: false, loss: 0.0, kernel: &[] });
    const LOSSY: Way = ("lossy", RigOptions { loss: 0.01, ..PLAIN.1 });
    const OFFLOAD: Way = ("offload", RigOptions { offload: true, ..PLAIN.1 });
    /// A kernel as of 1990: what it doesn't offer, the stack must do without.
    const BARE: Way = (
        "bare",
        RigOptions {
            kernel: &[
                ("tcp_sack", "0"),
                ("tcp_timestamps", "0"),
                ("tcp_window_scaling", "0"),
                ("tcp_ecn", "0"),
            ],
            ..LOSSY.1
        },
    );
    /// A kernel that wants ECN for every connection (RFC 3168).
    const ECN: Way = ("ecn", RigOptions { kernel: &[("tcp_ecn", "1")], ..LOSSY.1 });

    const ALL: &[Way] = &[PLAIN, LOSSY, OFFLOAD];
    /// For what loss recovery and the options of TCP make a difference to.
    const EVERY: &[Way] = &[PLAIN, LOSSY, OFFLOAD, BARE, ECN];
    const LOSSLESS: &[Way] = &[PLAIN, OFFLOAD];

    /// Name, the programs that it needs, the devices that it is run over, body.
    const TESTS: &[(&str, &[&str], &[Way], Body)] = &[
        ("kernel_pings_stack", &["ping"], ALL, programs::kernel_pings_stack),
        ("kernel_pings_in_fragments", &["ping"], LOSSLESS, programs::kernel_pings_in_fragments),
        ("stack_pings_kernel", &[], ALL, programs::stack_pings_kernel),
        ("curl_fetches_a_page", &["curl"], ALL, programs::curl_fetches_a_page),
        ("curl_fetches_a_file", &["curl"], ALL, programs::curl_fetches_a_file),
        ("netcat_sends_and_receives", &["nc"], LOSSLESS, programs::netcat_sends_and_receives),
        ("iperf3_measures_both_ways", &["iperf3"], LOSSLESS, iperf3::measures_both_ways),
        ("bulk_from_kernel", &[], EVERY, tcp::bulk_from_kernel),
        ("bulk_from_stack", &[], EVERY, tcp::bulk_from_stack),
        ("bulk_both_ways_at_once", &[], EVERY, tcp::bulk_both_ways_at_once),
        ("many_connections_from_kernel", &[], ALL, tcp::many_connections_from_kernel),
        ("many_connections_from_stack", &[], ALL, tcp::many_connections_from_stack),
        ("a_slow_reader_on_the_stack", &[], EVERY, tcp::a_slow_reader_on_the_stack),
        ("a_slow_reader_on_the_kernel", &[], EVERY, tcp::a_slow_reader_on_the_kernel),
        ("one_connection_after_another", &[], ALL, tcp::one_connection_after_another),
        ("refused_both_ways", &[], ALL, tcp::refused_both_ways),
        ("half_closed_by_kernel", &[], ALL, tcp::half_closed_by_kernel),
        ("half_closed_by_stack", &[], ALL, tcp::half_closed_by_stack),
        ("reset_by_kernel", &[], LOSSLESS, tcp::reset_by_kernel),
        ("reset_by_stack", &[], LOSSLESS, tcp::reset_by_stack),
        ("closed_with_unread_data", &[], LOSSLESS, tcp::closed_with_unread_data),
        ("a_host_that_is_not_there", &[], &[PLAIN], tcp::a_host_that_is_not_there),
        ("udp_echo_from_kernel", &[], ALL, udp::echo_from_kernel),
        ("udp_echo_from_stack", &[], ALL, udp::echo_from_stack),
        ("udp_bursts_to_kernel", &[], LOSSLESS, udp::bursts_to_kernel),
        ("udp_refused_both_ways", &[], ALL, udp::refused_both_ways),
    ];

    pub(crate) fn main() {
        let tap = skips::enter_testbed();
        let arguments = Arguments::from_args();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel");
        // What an earlier run left must not be taken for this one's.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the folder for captures can be made");
        let tests = TESTS.iter().flat_map(|&(name, programs, ways, body)| {
            let needs: Vec<Need> =
                std::iter::once(tap.clone()).chain(programs.iter().map(|&p| program(p))).collect();
            let folder = folder.clone();
            ways.iter().map(move |&(way, options)| {
                trial(format!("{name}::{way}"), needs.clone(), &folder, options, body)
            })
        });
        let tests: Vec<Trial> = tests.collect();
        let ran = libtest_mimic::run(&arguments, tests);
        let tshark =
            test("tshark_finds_nothing_wrong", [tap, program("tshark")], move || look_through(&folder));
        let looked = libtest_mimic::run(&arguments, vec![tshark]);
        let left = libtest_mimic::run(&arguments, vec![test("nothing_is_left", [], nothing_is_left)]);
        [ran, looked].iter().for_each(libtest_mimic::Conclusion::exit_if_failed);
        left.exit();
    }

    fn trial(name: String, needs: Vec<Need>, folder: &Path, options: RigOptions, body: Body) -> Trial {
        let (folder, file) = (folder.to_owned(), name.replace("::", "-"));
        test(name, needs, move || Rig::run(&file, &folder, options, body))
    }

    /// Has tshark look at every capture that the tests have written, as many at once as there are processors.
    fn look_through(folder: &Path) -> Outcome {
        let files = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
        let each = files.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let wrong = std::thread::scope(|scope| {
            let look = |files: &[PathBuf]| files.iter().try_for_each(|file| look_at(file));
            let threads: Vec<_> = files.chunks(each).map(|files| scope.spawn(move || look(files))).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().expect("nothing panics").err())
                .collect::<Vec<_>>()
        });
        eprintln!("tshark has looked at {} captures", files.len());
        ensure(wrong.is_empty(), || wrong.join("\n"))
    }

    fn look_at(file: &Path) -> Result<(), String> {
        let wrong = tshark::wrong_packets(file)?;
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}:\n{}", file.display(), wrong.join("\n"))) }
    }

    fn nothing_is_left() -> Outcome {
        let left = skips::leftovers()?;
        ensure(left.is_empty(), || format!("after the tests there is still: {}", left.join(", ")))
    }
}
