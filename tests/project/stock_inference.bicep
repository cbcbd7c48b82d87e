// A template in the shape of AI Toolkit's: its parameters, default names, preview API version, GPU profile,
// probes on '/' and six outputs. Our own writing, for tests.
param defaultCommands array
param maximumInstanceCount int
param location string = resourceGroup().location

param resourceSuffix string = substring(uniqueString(resourceGroup().id), 0, 5)
param storageAccountName string = 'aistorage${resourceSuffix}'
param fileShareName string = 'aifileshare${resourceSuffix}'
param acaEnvironmentName string = 'aienv${resourceSuffix}'
param acaEnvironmentStorageName string = 'aienvstorage${resourceSuffix}'
param acaAppName string = 'aiacaapp${resourceSuffix}'
param acaLogAnalyticsName string = 'ailog${resourceSuffix}'

var command = join(defaultCommands, '; ')
var volume = '${fileShareName}volume'

resource account 'Microsoft.Storage/storageAccounts@2023-01-01' = {
  name: storageAccountName
  location: location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: { largeFileSharesState: 'Enabled' }
}

resource files 'Microsoft.Storage/storageAccounts/fileServices@2023-01-01' = {
  parent: account
  name: 'default'
  properties: {
    protocolSettings: { smb: {} }
    cors: { corsRules: [] }
    shareDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource share 'Microsoft.Storage/storageAccounts/fileServices/shares@2023-01-01' = {
  parent: files
  name: fileShareName
  properties: { shareQuota: 1024 }
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2022-10-01' = {
  name: acaLogAnalyticsName
  location: location
  properties: { sku: { name: 'PerGB2018' } }
}

resource environment 'Microsoft.App/managedEnvironments@2023-11-02-preview' = {
  name: acaEnvironmentName
  location: location
  properties: {
    daprAIInstrumentationKey: null
    vnetConfiguration: null
    zoneRedundant: false
    customDomainConfiguration: { dnsSuffix: null, certificateValue: null, certificatePassword: null }
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: workspace.properties.customerId
        sharedKey: workspace.listKeys().primarySharedKey
      }
    }
    workloadProfiles: [
      { name: 'Consumption', workloadProfileType: 'Consumption' }
      { name: 'GPU', workloadProfileType: 'NC24-A100', minimumCount: 0, maximumCount: maximumInstanceCount }
    ]
    infrastructureResourceGroup: null
    peerAuthentication: { mtls: { enabled: false } }
  }
}

resource mount 'Microsoft.App/managedEnvironments/storages@2023-11-02-preview' = {
  parent: environment
  name: acaEnvironmentStorageName
  properties: {
    azureFile: {
      accountName: account.name
      accountKey: account.listKeys().keys[0].value
      shareName: share.name
      accessMode: 'ReadWrite'
    }
  }
}

resource app 'Microsoft.App/containerApps@2023-11-02-preview' = {
  name: acaAppName
  location: location
  identity: { type: 'None' }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'GPU'
    configuration: {
      secrets: null
      registries: null
      dapr: null
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 100
      ingress: {
        external: true
        allowInsecure: false
        exposedPort: 0
        targetPort: 7860
        transport: 'Auto'
        traffic: [ { latestRevision: true, weight: 100 } ]
      }
    }
    template: {
      revisionSuffix: ''
      terminationGracePeriodSeconds: null
      containers: [
        {
          name: acaAppName
          image: 'docker.io/pytorch/pytorch:2.4.0-cuda12.4-cudnn9-runtime'
          command: [ '/bin/bash', '-c', command ]
          resources: { cpu: 24, memory: '220Gi' }
          probes: [
            {
              type: 'Liveness'
              httpGet: { path: '/', port: 7860, scheme: 'HTTP' }
              initialDelaySeconds: 60
              periodSeconds: 10
              successThreshold: 1
              timeoutSeconds: 1
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: { path: '/', port: 7860, scheme: 'HTTP' }
              initialDelaySeconds: 60
              periodSeconds: 10
              failureThreshold: 3
            }
            {
              type: 'Startup'
              httpGet: { path: '/', port: 7860, scheme: 'HTTP' }
              initialDelaySeconds: 60
              periodSeconds: 120
              failureThreshold: 10
            }
          ]
          volumeMounts: [ { volumeName: volume, mountPath: '/mount' } ]
        }
      ]
      initContainers: null
      scale: { minReplicas: 1, maxReplicas: 1, rules: null }
      volumes: [ { name: volume, storageType: 'AzureFile', storageName: mount.name } ]
      serviceBinds: null
    }
  }
}

output SUBSCRIPTION_ID string = subscription().subscriptionId
output RESOURCE_GROUP_NAME string = resourceGroup().name
output STORAGE_ACCOUNT_NAME string = account.name
output FILE_SHARE_NAME string = share.name
output ACA_APP_NAME string = app.name
output ACA_APP_ENDPOINT string = app.properties.configuration.ingress.fqdn
