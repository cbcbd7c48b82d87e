"""The one error tree. Owns code, exit code, HTTP status and hint; knows neither HTTP nor terminals.

RemoraError                      exit 1    HTTP 500   internal_error
├── InvalidInput                 exit 2    HTTP 400   invalid_value
│   ├── UnsupportedParameter               HTTP 400   unsupported_parameter
│   ├── ContextLengthExceeded              HTTP 400   context_length_exceeded
│   ├── InvalidFile                        HTTP 400   invalid_file
│   ├── BodyTooLarge                       HTTP 413   request_too_large
│   ├── HeadersTooLarge                    HTTP 431   headers_too_large
│   ├── BodyTooSlow                        HTTP 408   request_timeout
│   └── PortInUse                          HTTP 409   port_in_use
├── NotFound                     exit 3    HTTP 404   not_found
│   ├── ModelNotFound                      HTTP 404   model_not_found
│   ├── ProjectIncomplete                  HTTP 404   project_incomplete
│   └── DeploymentNotFound                 HTTP 404   deployment_not_found
├── SignInRequired               exit 4    HTTP 401   sign_in_required
│   └── InvalidApiKey                      HTTP 401   invalid_api_key
├── Refused                      exit 5    HTTP 400   refused
│   ├── AdapterRejected                    HTTP 400   adapter_rejected
│   ├── ForeignHost                        HTTP 403   foreign_host
│   ├── ForeignOrigin                      HTTP 403   foreign_origin
│   └── AdminKeyRequired                   HTTP 403   admin_key_required
├── ProvisioningFailed           exit 6    HTTP 502   provisioning_failed
│   └── SyncFailed                         HTTP 502   sync_failed
├── NotReady                     exit 7    HTTP 503   not_ready
│   ├── CloudUnavailable                   HTTP 503   cloud_unavailable
│   ├── EngineFailed                       HTTP 503   engine_failed
│   ├── Overloaded                         HTTP 429   overloaded
│   ├── Draining                           HTTP 503   draining
│   └── DeadlineExceeded                   HTTP 504   deadline_exceeded
├── VerificationFailed           exit 8    HTTP 409   verification_failed
├── Locked                       exit 9    HTTP 409   locked
└── Interrupted                  exit 130  HTTP 499   interrupted
"""

from __future__ import annotations

from typing import ClassVar


class RemoraError(Exception):
    """What happened (`message`, with the offending value) and what to do next (`hint`).

    `param` names the request field, flag or file key at fault, where there is one.
    """

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, hint={self.hint!r}, param={self.param!r})"


class InvalidInput(RemoraError):
    code = "invalid_value"
    exit_code = 2
    http_status = 400


class UnsupportedParameter(InvalidInput):
    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidInput):
    code = "context_length_exceeded"


class InvalidFile(InvalidInput):
    """A file of the project is malformed; the message names the file and, where known, the line."""

    code = "invalid_file"


class BodyTooLarge(InvalidInput):
    code = "request_too_large"
    http_status = 413


class HeadersTooLarge(InvalidInput):
    code = "headers_too_large"
    http_status = 431


class BodyTooSlow(InvalidInput):
    """The request announced a body and did not send it."""

    code = "request_timeout"
    http_status = 408


class PortInUse(InvalidInput):
    code = "port_in_use"
    http_status = 409


class NotFound(RemoraError):
    code = "not_found"
    exit_code = 3
    http_status = 404


class ModelNotFound(NotFound):
    code = "model_not_found"


class ProjectIncomplete(NotFound):
    """The folder lacks a base model, adapters or the files that `remora init` writes."""

    code = "project_incomplete"


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"


class SignInRequired(RemoraError):
    code = "sign_in_required"
    exit_code = 4
    http_status = 401


class InvalidApiKey(SignInRequired):
    code = "invalid_api_key"


class Refused(RemoraError):
    """Refused before any change was made."""

    code = "refused"
    exit_code = 5
    http_status = 400


class AdapterRejected(Refused):
    code = "adapter_rejected"


class ForeignHost(Refused):
    """The request names a host that is not this machine: a web page elsewhere may be behind it."""

    code = "foreign_host"
    http_status = 403


class ForeignOrigin(Refused):
    """A web page elsewhere asked through its visitor's browser."""

    code = "foreign_origin"
    http_status = 403


class AdminKeyRequired(Refused):
    """Only the admin key may change which adapters are served."""

    code = "admin_key_required"
    http_status = 403


class ProvisioningFailed(RemoraError):
    code = "provisioning_failed"
    exit_code = 6
    http_status = 502


class SyncFailed(ProvisioningFailed):
    code = "sync_failed"


class NotReady(RemoraError):
    code = "not_ready"
    exit_code = 7
    http_status = 503


class CloudUnavailable(NotReady):
    code = "cloud_unavailable"


class EngineFailed(NotReady):
    code = "engine_failed"


class Overloaded(NotReady):
    code = "overloaded"
    http_status = 429


class Draining(NotReady):
    """The endpoint is about to stop: what runs is finished, nothing new is begun."""

    code = "draining"


class DeadlineExceeded(NotReady):
    """The answer took longer than any answer may; it was stopped."""

    code = "deadline_exceeded"
    http_status = 504


class VerificationFailed(RemoraError):
    code = "verification_failed"
    exit_code = 8
    http_status = 409


class Locked(RemoraError):
    code = "locked"
    exit_code = 9
    http_status = 409


class Interrupted(RemoraError):
    code = "interrupted"
    exit_code = 130
    http_status = 499
