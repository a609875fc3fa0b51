"""The ``webhook`` kind: each change is one signed POST, in the form of Standard Webhooks or CloudEvents."""
