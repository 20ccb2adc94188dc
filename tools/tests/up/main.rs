//! `tapstack up` as a user has it: kernels, programs and a browser beside it, and the commands that act on it.

#[cfg(target_os = "linux")]
mod boxes;
#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod router;
#[cfg(target_os = "linux")]
mod serving;
#[cfg(target_os = "linux")]
mod stage;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED: TAP devices are Linux's");
}

#[cfg(target_os = "linux")]
fn main() {
    use stage::{Body, Need, program, test};
    let tap = stage::enter_testbed();
    let tests: [(&str, &[&str], Body); 15] = [
        ("answers_ping_curl_and_netcat", &["ping", "curl", "nc"], serving::answers_programs),
        ("streams_100_mb_with_and_without_offload", &["curl"], serving::streams_a_large_file),
        ("serves_500_connections_at_once", &["curl"], serving::many_connections),
        ("datagrams_can_not_be_amplified", &[], serving::no_amplification),
        ("shows_its_page_in_a_browser", &["chromium"], serving::browser),
        ("tables_tell_and_change_the_machine", &[], commands::tables),
        ("ping_and_traceroute_reach_the_kernel", &[], commands::reach),
        ("rpc_lists_calls_and_pings", &[], commands::rpc),
        ("nc_connects_and_listens", &[], commands::netcat),
        ("bad_clients_do_not_stall_it", &[], commands::bad_clients),
        ("ends_clean_on_ctrl_c", &[], ends::ctrl_c),
        ("mends_what_a_kill_left", &["ip"], ends::kill),
        ("refuses_a_second_of_its_name_and_overlaps", &[], ends::refusals),
        ("boxes_survive_a_kill", &["ip"], boxes::survive_a_kill),
        ("routes_between_kernels", &["traceroute"], router::between_kernels),
    ];
    let tests = tests.into_iter().map(|(name, programs, body)| {
        let needs: Vec<Need> =
            std::iter::once(tap.clone()).chain(programs.iter().map(|&name| program(name))).collect();
        test(name, needs, body)
    });
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), tests.collect()).exit();
}
