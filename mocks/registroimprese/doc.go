// Package registroimprese plays the business register of the chambers of commerce over the two roads that lead to it:
// InfoCamere's WSPA gateway (seat, existence, who represents which enterprise) and the register's services on PDND (the
// record of an enterprise in a short or a full profile). Both tell the same truth about the bench's cast: whoever asks
// as an enterprise is enrolled, active, and represented by the representative that the cast names; bodies and persons
// are not enrolled.
//
// Basis of the first road: InfoCamere's OpenAPI files of seat and existence, and of the list of represented enterprises,
// 2024; its manual, version 6 (26 December 2022), for the service levels; a public client in production for the check
// of one representative, for "not found" told inside a 200, and for both spellings and places of fields. Basis of the
// second: modelled; only the lists of fields are public (see spec/ri-pdnd.yaml).
//
// What the mock refuses on the first road: whoever does not pass the gate (see mocks/wspa) or bears a token without
// the scope sede-impresa-pa (seat, existence) or lr-pa (representatives) (401); a body, a code of another form than 11
// digits or a person's 16 characters, a parameter that is missing, repeated or unknown (400); any other path or method
// (404). On the second: a voucher that does not hold (401), or whose purpose is not entitled (403), also wherever no
// platform stands on the bench (401); a code or parameter as above, a profile that is neither sintetico nor completo
// (400); with the switch Audit, evidence by AUDIT_REST_02 that is missing or does not hold (400).
//
// Answers are valid by the published files unless a switch or somebody's story says otherwise: "ri-null-seat",
// "ri-name-inside", "ri-holder-null-list" and the like; the check of one representative is in a client's file alone,
// which has no place for "not found".
//
// Known gaps: what the gateway says of a ceased enterprise is assumed: its last seat, and existence false. Asked by
// partita IVA it is assumed to answer with the codice fiscale. Who represents some enterprise but not that one is
// answered "KO", who represents none "LR Not found": assumed. The names of the back ends but wspa-lrpf, quotas told as
// 429 and the two error codes other than WSPA_ERR_04 and WSPA_ERR_05 are assumed. Maintenance is played on the first
// road only. INTEGRITY_REST_02 is not played: the one call has no body to sign.
package registroimprese
