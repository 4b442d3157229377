package parvis

import "slices"

// ReasonCode is a word of the closed list of domain.md 6.3. The same word is the
// sentence on the page, the field in the audit trail, the label of the metric and
// the expectation in the test.
type ReasonCode string

// Known tells whether c belongs to the closed list.
func (c ReasonCode) Known() bool { return slices.Contains(ReasonCodes(), c) }

// The reasons that the code of the house names itself. Policies may name any of
// the closed list.
const (
	WhyIdentifierRequired        ReasonCode = "identifier_required"
	WhyIdentifierWrongCircuit    ReasonCode = "identifier_wrong_circuit"
	WhyCredentialsIncorrect      ReasonCode = "credentials_incorrect"
	WhyLockWarning               ReasonCode = "lock_warning"
	WhyAccountLockedAttempts     ReasonCode = "account_locked_attempts"
	WhyAccountLockedStaff        ReasonCode = "account_locked_staff"
	WhyPasswordCompromised       ReasonCode = "password_compromised"
	WhyPasswordExpiring          ReasonCode = "password_expiring"
	WhyPasswordExpired           ReasonCode = "password_expired"
	WhyPasswordExpiredAbsence    ReasonCode = "password_expired_absence"
	WhyPasswordExpiredPrivileged ReasonCode = "password_expired_privileged"
	WhyPasswordRuleLength        ReasonCode = "password_rule_length"
	WhyPasswordRuleCommon        ReasonCode = "password_rule_common"
	WhyPasswordRulePersonal      ReasonCode = "password_rule_personal"
	WhyPasswordRuleReused        ReasonCode = "password_rule_reused"
	WhyAgentAccountNotActivated  ReasonCode = "agent_account_not_activated"
	WhyVerifierMissing           ReasonCode = "verifier_missing"
	WhyVerifierUnverified        ReasonCode = "verifier_unverified"
	WhyVerifierAccountMismatch   ReasonCode = "verifier_account_mismatch"
	WhyVerifierAlreadyLinked     ReasonCode = "verifier_already_linked"
	WhyVerifierCancelled         ReasonCode = "verifier_cancelled"
	WhyVerifierLevelTooLow       ReasonCode = "verifier_level_too_low"
	WhyVerifierLockedNotice      ReasonCode = "verifier_locked_notice"
	WhyVerifierUnavailable       ReasonCode = "verifier_unavailable"
	WhyIdentityPairNeutral       ReasonCode = "identity_pair_neutral"
	WhyActivationCodeIncorrect   ReasonCode = "activation_code_incorrect"
	WhyActivationCodeExpired     ReasonCode = "activation_code_expired"
	WhyActivationCodeUsed        ReasonCode = "activation_code_used"
	WhyAccountNotStarted         ReasonCode = "account_not_started"
	WhyAccountOffAssignment      ReasonCode = "account_off_assignment"
	WhyAccountRestrictedAbsence  ReasonCode = "account_restricted_absence"
	WhyAccountSuspended          ReasonCode = "account_suspended"
	WhyAccountDocumentsOnly      ReasonCode = "account_documents_only"
	WhyAccountClosed             ReasonCode = "account_closed"
	WhyFactorRequired            ReasonCode = "factor_required"
	WhyFactorEnrolHereForbidden  ReasonCode = "factor_enrol_here_forbidden"
	WhyFactorDeadline            ReasonCode = "factor_deadline"
	WhyCodeIncorrect             ReasonCode = "code_incorrect"
	WhyCodeRequired              ReasonCode = "code_required"
	WhyCodeLength                ReasonCode = "code_length"
	WhyCodeExpired               ReasonCode = "code_expired"
	WhyCodeReused                ReasonCode = "code_reused"
	WhyCodeNotReceived           ReasonCode = "code_not_received"
	WhyCodeSendLimit             ReasonCode = "code_send_limit"
	WhyCodeTryLimit              ReasonCode = "code_try_limit"
	WhyFactorPhoneChanged        ReasonCode = "factor_phone_changed"
	WhyFactorLost                ReasonCode = "factor_lost"
	WhyFactorTooWeak             ReasonCode = "factor_too_weak"
	WhyFactorChangeWait          ReasonCode = "factor_change_wait"
	WhyFactorRemovalForbidden    ReasonCode = "factor_removal_forbidden"
	WhyFactorRequestSent         ReasonCode = "factor_request_sent"
	WhyFactorRequestDone         ReasonCode = "factor_request_done"
	WhyPasskeyUnavailable        ReasonCode = "passkey_unavailable"
	WhyStepUpRequired            ReasonCode = "step_up_required"
	WhyChannelNotAllowed         ReasonCode = "channel_not_allowed"
	WhyChannelNotAllowedProfile  ReasonCode = "channel_not_allowed_profile"
	WhyChannelClosed             ReasonCode = "channel_closed"
	WhyChannelUnknown            ReasonCode = "channel_unknown"
	WhyInternalAddressOutside    ReasonCode = "internal_address_outside"
	WhyVPNNotAuthorised          ReasonCode = "vpn_not_authorised"
	WhyVPNPending                ReasonCode = "vpn_pending"
	WhyAppReducedHere            ReasonCode = "app_reduced_here"
	WhyAppNotAssigned            ReasonCode = "app_not_assigned"
	WhyAppDown                   ReasonCode = "app_down"
	WhyDeviceNotRecognised       ReasonCode = "device_not_recognised"
	WhySessionExpired            ReasonCode = "session_expired"
	WhySessionClosedRemote       ReasonCode = "session_closed_remote"
	WhyOffline                   ReasonCode = "offline"
	WhyRateLimited               ReasonCode = "rate_limited"
	WhyServiceUnavailable        ReasonCode = "service_unavailable"
	WhyServiceProblem            ReasonCode = "service_problem"
	WhyNotFound                  ReasonCode = "not_found"
	WhyFormExpired               ReasonCode = "form_expired"
)

// ReasonCodes gives the closed list, in the order of domain.md 6.3.
func ReasonCodes() []ReasonCode {
	return []ReasonCode{
		// Identifier and first proof
		"identifier_required", "identifier_wrong_circuit", "credentials_incorrect", "lock_warning",
		"account_locked_attempts", "account_locked_staff", "password_compromised", "password_expiring",
		"password_expired", "password_expired_absence", "password_expired_privileged", "password_rule_length",
		"password_rule_kinds", "password_rule_common", "password_rule_personal", "password_rule_reused",
		"identifier_forgotten_sent",
		// Arrival and the two accounts
		"agent_account_not_activated", "verifier_missing", "verifier_unverified", "verifier_account_mismatch",
		"verifier_already_linked", "verifier_cancelled", "verifier_level_too_low", "verifier_locked_notice",
		"verifier_unavailable", "identity_pair_neutral", "no_professional_mailbox", "activation_code_incorrect",
		"activation_code_expired", "activation_code_used",
		// State of the agent account
		"account_not_started", "account_off_assignment", "account_restricted_absence", "return_not_recorded",
		"account_suspended", "account_documents_only", "account_closed", "account_dormant", "account_paused_security",
		// Second factor
		"factor_required", "factor_deadline", "factor_enrol_here_forbidden", "code_incorrect", "code_required",
		"code_length", "code_expired", "code_reused", "code_not_received", "code_send_limit", "code_try_limit",
		"factor_phone_changed", "factor_lost", "factor_too_weak", "factor_change_wait", "factor_removal_forbidden",
		"factor_request_sent", "factor_request_done", "passkey_unavailable", "step_up_required",
		// Channel and application
		"channel_not_allowed", "channel_not_allowed_profile", "channel_closed", "channel_unknown",
		"internal_address_outside", "vpn_not_authorised", "vpn_pending", "vpn_client_needed", "app_reduced_here",
		"app_not_assigned", "app_request_pending", "app_request_refused", "app_maintenance", "app_down",
		"device_not_recognised", "browser_outdated", "policy_locked",
		// Sessions
		"session_expiring", "session_expired", "session_closed_remote", "session_shared_end",
		// Recovery
		"recovery_sent", "recovery_mail_rejected", "recovery_link_expired", "recovery_link_used",
		"recovery_link_replaced", "recovery_wrong_circuit", "recovery_rate_limited", "recovery_in_person",
		"recovery_identity_not_proven", "sponsor_sent", "sponsor_code_incorrect", "sponsor_limit", "recovery_done",
		// System
		"offline", "rate_limited", "service_unavailable", "service_problem", "service_status_notice", "not_found",
		"form_expired",
	}
}
