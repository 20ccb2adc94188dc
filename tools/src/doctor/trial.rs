//! The doctor's real try: a namespace of its own with a bridge and TAPs, which end with the process.

/// Makes what the demo needs; says what it found, or why it can't. None where this build has no TAP.
#[cfg(target_os = "linux")]
pub(super) fn try_it() -> Option<Result<String, String>> {
    Some(make().map_err(|error| error.to_string()))
}

#[cfg(target_os = "linux")]
fn make() -> Result<String, crate::testbed::TestbedError> {
    use crate::testbed::{self, Bridge};
    use tapstack::device::TapOptions;
    testbed::available().map_err(testbed::TestbedError::Unavailable)?;
    testbed::move_in()?;
    let mut bridge = Bridge::new("br0", &[])?;
    let _plain = bridge.tap(TapOptions::default())?;
    // Offload is for speed: the demo doesn't need it.
    let offload = match bridge.tap(TapOptions { offload: true, ..TapOptions::default() }) {
        Ok(_) => "with and without offload",
        Err(error) => {
            log::info!("a TAP with offload: {error}");
            "without offload"
        }
    };
    Ok(format!("a namespace, a bridge and TAPs were made, {offload}"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn try_it() -> Option<Result<String, String>> {
    None
}
