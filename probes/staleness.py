"""When a stored run no longer says what its device does now."""

from __future__ import annotations

import math

from probes import METHOD_VERSION
from probes.record import ProbeReport

# Fixed work on one card repeats within 2 %. What moves it over months is dust, thermal paste and warm air.
OLD_S = 90 * 86400.0
# Drivers round a limit to milliwatts; people move it by tens of watts.
POWER_LIMIT_CHANGE = 0.01


def stale(
    report: ProbeReport,
    *,
    driver: str | None = None,
    power_limit_w: float | None = None,
    ecc: bool | None = None,
    mig_profile: str | None = None,
    now_s: float | None = None,
) -> str | None:
    """Why the figures may no longer hold for the device as it is now, or None.

    What is unknown (None) is not compared, but for mig_profile: None says that the device is a whole GPU.
    """
    for reason in (
        _other_method(report),
        _other_driver(report, driver),
        _other_mode(report, power_limit_w, ecc, mig_profile),
        _other_time(report, now_s),
    ):
        if reason:
            return reason
    return None


def same_limit(then_w: float | None, now_w: float | None) -> bool:
    """Whether two power limits are the same, as far as both are known."""
    if not then_w or not now_w or not 0.0 < then_w < math.inf or not 0.0 < now_w < math.inf:
        return True
    return abs(now_w - then_w) <= POWER_LIMIT_CHANGE * then_w


def _other_method(report: ProbeReport) -> str | None:
    if report.method_version == METHOD_VERSION:
        return None
    return f"measured by method {report.method_version}, and this advisor has method {METHOD_VERSION}"


def _other_driver(report: ProbeReport, driver: str | None) -> str | None:
    then = report.versions.get("driver")
    if driver is None or then is None or then == driver:
        return None
    return f"measured under driver {then}, now it is {driver}"


def _other_mode(
    report: ProbeReport, power_limit_w: float | None, ecc: bool | None, mig_profile: str | None
) -> str | None:
    then = report.device
    if then.mig_profile != mig_profile:
        return f"measured as {then.mig_profile or 'a whole GPU'}, now it is {mig_profile or 'a whole GPU'}"
    if not same_limit(then.power_limit_w, power_limit_w):
        return f"measured under a power limit of {then.power_limit_w:g} W, now it is {power_limit_w:g} W"
    if None not in (ecc, then.ecc_enabled) and ecc != then.ecc_enabled:
        return f"measured with ECC {_on(then.ecc_enabled)}, now it is {_on(ecc)}"
    return None


def _other_time(report: ProbeReport, now_s: float | None) -> str | None:
    if now_s is None:
        return None
    age_s = now_s - report.t_s
    if age_s < -86400:
        return "measured at a time that has yet to come: a clock was set back"
    return f"measured {age_s / 86400:.0f} days ago" if age_s > OLD_S else None


def _on(enabled: bool | None) -> str:
    return "on" if enabled else "off"
