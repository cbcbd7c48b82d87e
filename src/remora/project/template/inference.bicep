// An inference endpoint for LoRA adapters: a file share with the model and the adapters, and a container
// app that serves them. Written by `remora init`; yours to edit.
//
// `remora provision` deploys it with inference.parameters.json and writes the outputs to
// infra/inference.config.json. The first ten parameters and the outputs are those of AI Toolkit, and the
// default names are derived in the same way, so that in the resource group of a fine-tuning step both
// steps share one storage account, share and environment.

@description('What the container runs, joined with "; ".')
param defaultCommands array
@description('The most replicas, and the most machines of a dedicated GPU profile. A new revision starts beside the old one, so an update without downtime needs one more machine than replicas.')
@minValue(1)
param maximumInstanceCount int = 1
param location string = resourceGroup().location

param resourceSuffix string = substring(uniqueString(resourceGroup().id), 0, 5)
param storageAccountName string = 'aistorage${resourceSuffix}'
param fileShareName string = 'aifileshare${resourceSuffix}'
param acaEnvironmentName string = 'aienv${resourceSuffix}'
param acaEnvironmentStorageName string = 'aienvstorage${resourceSuffix}'
param acaAppName string = 'aiacaapp${resourceSuffix}'
param acaLogAnalyticsName string = 'ailog${resourceSuffix}'

@description('The keys that clients may send, one a line, as key or name:key. Without one the endpoint refuses every request but its health checks.')
@secure()
param apiKey string = ''
@description('The key that may load and unload adapters. Without one nobody may.')
@secure()
param adminKey string = ''
@description('Further secrets of the app, {items: [{name, value}]}. An environment variable has one by its secretRef.')
@secure()
param otherSecrets object = {
  items: []
}
@description('Further environment variables of the container: a list of {name, value} or {name, secretRef}.')
param environmentVariables array = []

@description('How replicas read the share. key: it is mounted with the key of the storage account. identity: they read it over REST with a managed identity, which also works where a policy forbids keys.')
@allowed([
  'key'
  'identity'
])
param shareAccess string = 'key'
@description('Whether the storage account forbids its keys from now on. `remora provision` sets false where an existing account allows them, because others may use them.')
param forbidSharedKeys bool = shareAccess == 'identity'
@description('The object id of who uploads to the share without a key, and gets the role for it. Empty: nobody.')
param uploaderId string = ''

@description('Where replicas run: Consumption (CPU), a serverless GPU (Consumption-GPU-NC24-A100 or Consumption-GPU-NC8as-T4), or a dedicated one such as NC24-A100.')
param workloadProfile string = 'Consumption'
@description('Profiles that the environment has for others, such as a fine-tuning job. A deployment sets the whole list, so what is left out here is removed.')
param otherWorkloadProfiles array = []
param image string = workloadProfile == 'Consumption' ? 'docker.io/library/python:3.12-slim' : 'docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime'
// On a GPU a replica has the machine to itself; on CPU these suit a small model.
@description('Cores of a replica, as text because half cores are allowed.')
param cpu string = workloadProfile == 'Consumption' ? '2' : contains(workloadProfile, 'T4') ? '8' : '24'
param memory string = workloadProfile == 'Consumption' ? '4Gi' : contains(workloadProfile, 'T4') ? '56Gi' : '220Gi'

@description('0: while nobody asks there is no replica and no cost for one, and the first request waits for a start.')
@minValue(0)
param minReplicas int = 0
@minValue(1)
param maxReplicas int = maximumInstanceCount
@description('How many requests at once one replica is for: with more, another one is started.')
@minValue(1)
param concurrentRequests int = 16
@description('How long there must be no request before the last replica is stopped, where minReplicas is 0.')
@minValue(1)
param cooldownSeconds int = 300
@description('Who gets the traffic of a new app. `remora deploy` gives it to a revision by name, once that has been checked, and a later deployment of this template keeps it so.')
param revisionTraffic array = [
  {
    latestRevision: true
    weight: 100
  }
]
@description('How long a replica may take until it answers, before it is started again.')
@minValue(2)
@maxValue(40)
param startMinutes int = 20

@description('A small app that is always on before that of the model, which may sleep: see [scale] front in remora.toml.')
param front bool = false
param frontAppName string = '${take(acaAppName, 26)}-front'
@description('Environment variables and traffic of the front. `remora deploy` sets them, and a later deployment of this template keeps them so.')
param frontVariables array = []
param frontTraffic array = [
  {
    latestRevision: true
    weight: 100
  }
]

var byIdentity = shareAccess == 'identity'
// This is src/remora/rollout/replica/bootstrap.py of Remora: it fetches the release, before the commands start it.
var bootstrap = '''
"""Fetches a release from the file share into /mount, as the app's managed identity; standard library only.

The template runs it as `python3 -c`, before there is anything of Remora in the container. A release's id is a
hash of its files, so what was fetched is what was deployed. The role of a new identity takes minutes to work.
"""

import hashlib
import json
import os
import sys
import time
import urllib.request
from email.utils import formatdate
from http.client import HTTPException
from pathlib import Path

FILES = ("release.json", "code.zip", "requirements.txt", "start.py")
PATIENCE_SECONDS = 600
PAUSE_SECONDS = 3


def answer(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - of the template and the platform
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return bytes(response.read())


def token() -> str:
    query = "?api-version=2019-08-01&resource=https://storage.azure.com&client_id="
    url = os.environ["IDENTITY_ENDPOINT"] + query + os.environ["REMORA_SHARE_IDENTITY"]
    return str(json.loads(answer(url, {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}))["access_token"])


def fetched(release: str) -> dict[str, bytes]:
    url = os.environ["REMORA_SHARE_URL"] + "/.remora/releases/" + release + "/"
    own = {"Authorization": "Bearer " + token(), "x-ms-file-request-intent": "backup"}
    own |= {"x-ms-version": "2024-11-04", "x-ms-date": formatdate(usegmt=True)}
    return {name: answer(url + name, own) for name in FILES}


def is_whole(release: str, contents: dict[str, bytes]) -> bool:
    hashes = b"".join(hashlib.sha256(contents[name]).digest() for name in FILES)
    return hashlib.sha256(hashes).hexdigest().startswith(release)


def main(release: str, mount: str) -> None:
    folder = Path(mount, ".remora", "releases", release)
    known = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    if len(known) == len(FILES) and is_whole(release, known):
        return
    told, ends = "", time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            contents = fetched(release)
            break
        except (OSError, HTTPException, ValueError, KeyError) as error:
            code = (getattr(error, "headers", None) or {}).get("x-ms-error-code")
            reason = f"cannot read release {release} on the share: {code or repr(error)}"
        if time.monotonic() > ends:
            sys.exit(reason)
        if reason != told:
            sys.stderr.write(f"{reason}; trying again\n")
            sys.stderr.flush()
        told = reason
        time.sleep(PAUSE_SECONDS)
    if not is_whole(release, contents):
        sys.exit(f"release {release} on the share is damaged; run: remora deploy")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


if os.environ.get("REMORA_RELEASE", "").isalnum():
    main(os.environ["REMORA_RELEASE"], "/mount")
'''
var defaultCommand = join(byIdentity ? concat(['python3 -c "$REMORA_BOOTSTRAP" || exit 1'], defaultCommands) : defaultCommands, '; ')
var fileRoles = {
  reader: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b8eda974-7b85-4f76-af95-65846b26df6d')
  contributor: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69566ab7-960f-475b-8e7c-b3118f30c6bd')
}
var keyVariables = concat(empty(apiKey) ? [] : [
  {
    name: 'REMORA_API_KEY'
    secretRef: 'remora-api-key'
  }
], empty(adminKey) ? [] : [
  {
    name: 'REMORA_ADMIN_KEY'
    secretRef: 'remora-admin-key'
  }
])
var consumptionProfile = {
  workloadProfileType: 'Consumption'
  name: 'Consumption'
}
// A serverless profile has no machines to count. The name is that of AI Toolkit's template.
var serverlessProfile = {
  workloadProfileType: workloadProfile
  name: 'GPU'
}
var dedicatedProfile = {
  workloadProfileType: workloadProfile
  name: 'GPU'
  minimumCount: 0
  maximumCount: maximumInstanceCount
}
var ownProfiles = workloadProfile == 'Consumption' ? [consumptionProfile] : [
  consumptionProfile
  startsWith(workloadProfile, 'Consumption') ? serverlessProfile : dedicatedProfile
]

resource storageAccount 'Microsoft.Storage/storageAccounts@2023-01-01' = {
  name: storageAccountName
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    largeFileSharesState: 'Enabled'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
    allowSharedKeyAccess: forbidSharedKeys ? false : null
  }
}

resource defaultFileService 'Microsoft.Storage/storageAccounts/fileServices@2023-01-01' = {
  parent: storageAccount
  name: 'default'
  properties: {
    shareDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource fileShare 'Microsoft.Storage/storageAccounts/fileServices/shares@2023-01-01' = {
  parent: defaultFileService
  name: fileShareName
  properties: {
    shareQuota: 1024
  }
}

// It outlives the app, so that an app which is created again has the role already. A role for files can be
// assigned on an account, not on a share: the service checks it under another name of the share.
resource shareReader 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = if (byIdentity) {
  name: '${acaAppName}-reader'
  location: location
}

resource readerRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (byIdentity) {
  scope: storageAccount
  name: guid(storageAccount.id, shareReader.id, fileRoles.reader)
  properties: {
    roleDefinitionId: fileRoles.reader
    principalId: byIdentity ? shareReader.properties.principalId : ''
    principalType: 'ServicePrincipal'
  }
}

resource uploaderRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (byIdentity && !empty(uploaderId)) {
  scope: storageAccount
  name: guid(storageAccount.id, uploaderId, fileRoles.contributor)
  properties: {
    roleDefinitionId: fileRoles.contributor
    principalId: uploaderId
  }
}

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2022-10-01' = {
  name: acaLogAnalyticsName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: acaEnvironmentName
  location: location
  properties: {
    zoneRedundant: false
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: logAnalytics.properties.customerId
        sharedKey: logAnalytics.listKeys().primarySharedKey
      }
    }
    workloadProfiles: concat(ownProfiles, otherWorkloadProfiles)
  }
}

resource envStorage 'Microsoft.App/managedEnvironments/storages@2025-07-01' = if (!byIdentity) {
  parent: environment
  name: acaEnvironmentStorageName
  properties: {
    azureFile: {
      accountName: storageAccount.name
      accountKey: storageAccount.listKeys().keys[0].value
      shareName: fileShare.name
      accessMode: 'ReadWrite'
    }
  }
}

// What an app needs to read the share. Without the key, /mount is the disk of the replica, which a restart of
// the container keeps.
var shareVariables = byIdentity ? [
  {
    name: 'REMORA_SHARE_URL'
    value: '${storageAccount.properties.primaryEndpoints.file}${fileShareName}'
  }
  {
    name: 'REMORA_SHARE_IDENTITY'
    value: shareReader.properties.clientId
  }
  {
    name: 'REMORA_BOOTSTRAP'
    value: bootstrap
  }
] : []
var readerIdentity = byIdentity ? {
  type: 'UserAssigned'
  userAssignedIdentities: {
    '${shareReader.id}': {}
  }
} : null
var shareVolume = byIdentity ? {
  name: '${fileShareName}volume'
  storageType: 'EmptyDir'
} : {
  name: '${fileShareName}volume'
  storageType: 'AzureFile'
  storageName: envStorage.name
}

// Its program is in the release on the share, as the model's is; without a release there is nothing to run.
resource frontApp 'Microsoft.App/containerApps@2025-07-01' = if (front) {
  name: frontAppName
  location: location
  identity: readerIdentity
  dependsOn: [
    readerRole
  ]
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Multiple'
      secrets: concat(empty(apiKey) ? [] : [
        {
          name: 'remora-api-key'
          value: apiKey
        }
      ], empty(adminKey) ? [] : [
        {
          name: 'remora-admin-key'
          value: adminKey
        }
      ])
      ingress: {
        external: true
        allowInsecure: false
        targetPort: 7860
        transport: 'Auto'
        traffic: frontTraffic
      }
    }
    template: {
      containers: [
        {
          name: frontAppName
          image: 'docker.io/library/python:3.12-slim'
          command: [
            '/bin/bash'
            '-c'
            'test "$REMORA_RELEASE" || exec sleep infinity; ${byIdentity ? 'python3 -c "$REMORA_BOOTSTRAP" || exit 1; ' : ''}cd /mount/.remora/releases/$REMORA_RELEASE; exec python3 start.py'
          ]
          env: concat(keyVariables, shareVariables, frontVariables)
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          probes: [
            {
              type: 'Readiness'
              httpGet: {
                path: '/healthz'
                port: 7860
                scheme: 'HTTP'
              }
              initialDelaySeconds: 1
              periodSeconds: 2
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/healthz'
                port: 7860
                scheme: 'HTTP'
              }
              initialDelaySeconds: 60
              periodSeconds: 30
              timeoutSeconds: 5
              failureThreshold: 10
            }
          ]
          volumeMounts: [
            {
              volumeName: '${fileShareName}volume'
              mountPath: '/mount'
            }
          ]
        }
      ]
      scale: {
        minReplicas: 1
        maxReplicas: 1
      }
      volumes: [
        shareVolume
      ]
    }
  }
}

resource acaApp 'Microsoft.App/containerApps@2025-07-01' = {
  name: acaAppName
  location: location
  identity: readerIdentity
  dependsOn: [
    readerRole
  ]
  properties: {
    environmentId: environment.id
    workloadProfileName: workloadProfile == 'Consumption' ? 'Consumption' : 'GPU'
    configuration: {
      activeRevisionsMode: 'Multiple'
      secrets: concat(empty(apiKey) ? [] : [
        {
          name: 'remora-api-key'
          value: apiKey
        }
      ], empty(adminKey) ? [] : [
        {
          name: 'remora-admin-key'
          value: adminKey
        }
      ], otherSecrets.items)
      ingress: {
        external: true
        allowInsecure: false
        targetPort: 7860
        transport: 'Auto'
        traffic: revisionTraffic
      }
    }
    template: {
      containers: [
        {
          name: acaAppName
          image: image
          command: [
            '/bin/bash'
            '-c'
            defaultCommand
          ]
          env: concat(keyVariables, shareVariables, environmentVariables)
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          // A start takes seconds where everything is in place, and many minutes where packages are installed
          // and a large model is read from the share first. A startup probe cannot serve both: 10 attempts are
          // the most, so 20 minutes would mean one look every 2 minutes, and no start would be faster than
          // that. So there is none. Readiness looks every 2 s and only ever moves traffic; liveness is patient
          // (60 s, then 10 attempts) and restarts a replica that never came up or hangs. Azure adds a startup
          // probe of its own on CPU: the port must be open within 4 minutes, ready or not.
          probes: [
            {
              type: 'Readiness'
              httpGet: {
                path: '/readyz'
                port: 7860
                scheme: 'HTTP'
              }
              initialDelaySeconds: 1
              periodSeconds: 2
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/healthz'
                port: 7860
                scheme: 'HTTP'
              }
              initialDelaySeconds: 60
              periodSeconds: startMinutes * 6
              timeoutSeconds: 5
              failureThreshold: 10
            }
          ]
          volumeMounts: [
            {
              volumeName: '${fileShareName}volume'
              mountPath: '/mount'
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        cooldownPeriod: cooldownSeconds
        rules: [
          {
            name: 'http'
            http: {
              metadata: {
                concurrentRequests: string(concurrentRequests)
              }
            }
          }
        ]
      }
      volumes: [
        shareVolume
      ]
    }
  }
}

output SUBSCRIPTION_ID string = subscription().subscriptionId
output RESOURCE_GROUP_NAME string = resourceGroup().name
output STORAGE_ACCOUNT_NAME string = storageAccount.name
output FILE_SHARE_NAME string = fileShare.name
output ACA_APP_NAME string = acaApp.name
output ACA_APP_ENDPOINT string = front ? frontApp.properties.configuration.ingress.fqdn : acaApp.properties.configuration.ingress.fqdn
output ACA_FRONT_NAME string = front ? frontApp.name : ''
