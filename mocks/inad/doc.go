// Package inad plays INAD, the national index of digital domiciles of persons, unregulated professionals and private
// bodies: single extraction, verification at a past day, and lists by the non-blocking pull pattern, behind a PDND
// voucher.
//
// Basis: AgID's published OpenAPI contract of the INAD extraction API (version 1.0.0-SNAPSHOT, 2023 and after) for
// paths, parameters, patterns, statuses and bodies; public clients in production for what the contract leaves open: the
// two meanings of 404, and addresses in force without usageInfo.
//
// What the mock refuses, each with the contract's own problem body: a missing, stale or foreign voucher (401), a
// purpose not entitled (403), a code that the contract's pattern does not take, omocodic codes among them (400), a
// missing or empty practicalReference, digital_address or since, or one against its pattern (400), a list without
// praticalReference, with none or with more than 1,000 codes, or that is not JSON (400), an unknown path (404).
//
// Answers are valid by the contract unless a member's story or a switch says otherwise: "invalid-email", "usage-null",
// "usage-omitted", "absent-in-list", Settings.Usage, Settings.EmptyAbsent.
//
// Known gaps: whether INAD checks the check character of a code, or compares addresses without regard to case, is not
// documented: the mock does not and does. A list belongs to whoever knows its id. A verification about an unknown code
// answers 404, and one about a day to come is answered by what is known today: both are assumed. No 429: the contract
// has none.
package inad
