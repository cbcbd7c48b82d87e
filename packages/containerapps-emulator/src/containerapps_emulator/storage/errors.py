"""The errors of the Azure Files service: code, HTTP status and text. Knows no request.

The codes are the service's own, because clients branch on them. One table, so that each status is set once.
"""

from __future__ import annotations

from typing import Final

_TABLE: Final[dict[str, tuple[int, str]]] = {
    "AuthenticationFailed": (403, "The Authorization header does not carry a valid signature."),
    "AuthorizationFailure": (403, "This request is not authorized to perform this operation."),
    "AuthorizationPermissionMismatch": (
        403,
        "This request is not authorized to perform this operation using this permission.",
    ),
    "AuthorizationProtocolMismatch": (403, "The token does not allow this protocol."),
    "AuthorizationResourceTypeMismatch": (403, "The token does not allow this type of resource."),
    "AuthorizationServiceMismatch": (403, "The token is not for the file service."),
    "AuthorizationSourceIPMismatch": (403, "The token does not allow requests from this address."),
    "CannotWrite": (507, "The disk behind the share is read-only."),
    "CannotVerifyCopySource": (400, "The source of the copy cannot be read."),
    "CannotDeleteFileOrDirectory": (409, "This directory cannot be deleted or renamed."),
    "ConditionHeadersNotSupported": (400, "Azure Files supports no condition headers."),
    "ContainerQuotaDowngradeNotAllowed": (409, "It is too early to lower the quota of this share."),
    "Crc64Mismatch": (400, "The CRC64 that was sent does not match the CRC64 of the content."),
    "DamagedState": (500, "The state of the local cloud is damaged; see:"),
    "DirectoryNotEmpty": (409, "The specified directory is not empty."),
    "DiskFull": (507, "The disk behind the local cloud is full."),
    "EmptyMetadataKey": (400, "A metadata header has no name."),
    "FileInvalidPermission": (400, "The permission is not a valid security descriptor."),
    "InternalError": (500, "The server encountered an internal error; see its log."),
    "InvalidAuthenticationInfo": (401, "The bearer token is not valid."),
    "InvalidHeaderValue": (400, "The value of a header is not in the correct format."),
    "InvalidInput": (400, "One of the request inputs is not valid."),
    "InvalidMd5": (400, "The Content-MD5 header is not a base64 MD5."),
    "InvalidMetadata": (400, "A metadata name is not a valid identifier."),
    "InvalidQueryParameterValue": (400, "The value of a query parameter is not valid."),
    "InvalidRange": (416, "The range is invalid for the current size of the resource."),
    "InvalidResourceName": (400, "The resource name contains characters that are not allowed."),
    "InvalidFileOrDirectoryPathName": (400, "The path is too long or has too many subdirectories."),
    "InvalidUri": (400, "The request URI is not valid."),
    "KeyBasedAuthenticationNotPermitted": (
        403,
        "Key based authentication is not permitted on this storage account.",
    ),
    "LeaseAlreadyBroken": (409, "The lease has already been broken."),
    "LeaseAlreadyPresent": (409, "There is already a lease present."),
    "LeaseIdMismatchWithFileOperation": (412, "The lease id does not match the lease of the file."),
    "LeaseIdMismatchWithLeaseOperation": (409, "The lease id does not match the lease."),
    "LeaseIdMismatchWithShareOperation": (412, "The lease id does not match the lease of the share."),
    "LeaseIdMissing": (412, "There is a lease on the resource and the request names no lease id."),
    "LeaseIsBreakingAndCannotBeAcquired": (409, "The lease is breaking; it cannot be acquired yet."),
    "LeaseIsBreakingAndCannotBeChanged": (409, "The lease is breaking; it cannot be changed."),
    "LeaseIsBrokenAndCannotBeRenewed": (409, "The lease has been broken; it cannot be renewed."),
    "LeaseNotPresentWithFileOperation": (412, "There is no lease on the file."),
    "LeaseNotPresentWithLeaseOperation": (409, "There is no lease on the resource."),
    "LeaseNotPresentWithShareOperation": (412, "There is no lease on the share."),
    "Md5Mismatch": (400, "The Content-MD5 header does not match the MD5 of the received body."),
    "InvalidXmlDocument": (400, "The XML of the request is not valid."),
    "InvalidXmlNodeValue": (400, "The value of an XML node is not in the correct format."),
    "MissingContentLengthHeader": (411, "The Content-Length header was not specified."),
    "MissingRequiredHeader": (400, "A header that is mandatory for this request is missing."),
    "NoPendingCopyOperation": (409, "There is no pending copy operation."),
    "NoAuthenticationInformation": (401, "The request carries no Authorization header."),
    "OutOfRangeInput": (400, "One of the request inputs is out of range."),
    "OutOfRangeQueryParameterValue": (400, "A query parameter is outside the permissible range."),
    "ParentNotFound": (404, "The specified parent path does not exist."),
    "PreviousSnapshotCannotBeNewer": (409, "The previous snapshot is newer than what it is compared with."),
    "PreviousSnapshotNotFound": (409, "The previous snapshot does not have what it is compared with."),
    "ReadOnlyAttribute": (409, "The resource is read-only and cannot be modified."),
    "RequestBodyTooLarge": (413, "The request body exceeds the permissible limit."),
    "ResourceAlreadyExists": (409, "The specified resource already exists."),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "ResourceTypeMismatch": (409, "The specified resource is of another type."),
    "ShareAlreadyExists": (409, "The specified share already exists."),
    "ShareHasSnapshots": (409, "The share has snapshots and the operation requires no snapshots."),
    "ShareSnapshotCountExceeded": (409, "The share has as many snapshots as it may have."),
    "ShareSnapshotOperationNotSupported": (400, "A snapshot can be read and deleted, not changed."),
    "ShareSnapshotNotFound": (404, "The specified share snapshot does not exist."),
    "ShareNotFound": (404, "The specified share does not exist."),
    "ShareSizeLimitReached": (400, "The disk behind the share is full."),
    "SourceConditionNotMet": (412, "The source of the copy does not meet the condition of the request."),
    "UnsupportedHeader": (400, "A header of this request is not supported by the local cloud."),
    "UnsupportedHttpVerb": (405, "The resource does not support this HTTP verb."),
    "UnsupportedQueryParameter": (400, "A query parameter is not supported by the local cloud."),
}


AUTHENTICATION: Final = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
"""The codes whose detail the service shows in an element of its own."""


class FilesError(Exception):
    """Becomes the service's error response; `detail` names the invalid value. `source` is what is wrong with
    the source of a copy, whose status the response then has."""

    def __init__(self, code: str, detail: str = "", source: FilesError | None = None) -> None:
        status, words = _TABLE[code]
        super().__init__(code)
        self.code = code
        self.status: int = source.status if source else status
        self.source = source
        self.message = f"{words} {detail}" if detail else words
        self.shown = words if code in AUTHENTICATION else self.message
        self.detail = detail
