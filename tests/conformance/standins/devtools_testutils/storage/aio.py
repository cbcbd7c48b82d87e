"""The same for tests that are coroutines."""

from devtools_testutils.storage import GenericTestProxyParametrize1, StorageRecordedTestCase

__all__ = ("AsyncStorageRecordedTestCase", "GenericTestProxyParametrize1")

AsyncStorageRecordedTestCase = StorageRecordedTestCase
