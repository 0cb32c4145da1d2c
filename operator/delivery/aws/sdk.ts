// What Tabard uses of AWS's own client. A bundle of its own (hack/build.ts), loaded when a TLSIssuer first names AWS: whoever does not use it
// pays neither start time nor memory for it.
export {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
