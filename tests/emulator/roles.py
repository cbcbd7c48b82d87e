"""Role assignments on a storage account, by requests as `az role assignment create` sends them."""

from __future__ import annotations

import uuid

import httpx

FILES_CONTRIBUTOR = "69566ab7-960f-475b-8e7c-b3118f30c6bd"


def assign_files_role(http: httpx.Client, scope: str, principal: str) -> None:
    """Let a principal write the files of a storage account."""
    path = f"{scope}/providers/Microsoft.Authorization"
    made = http.put(
        f"{path}/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01",
        json={
            "properties": {
                "roleDefinitionId": f"{path}/roleDefinitions/{FILES_CONTRIBUTOR}",
                "principalId": principal,
            }
        },
    )
    assert made.status_code == 201, made.text
