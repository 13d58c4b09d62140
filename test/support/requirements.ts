import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { describe, test } from 'vitest'
import { isResolved, kafkaJarsDirectory } from '../../deploy/kafka/resolve.mjs'

/**
 * Tests that need a tool of the machine. Where it is missing the tests are skipped and say why; with
 * REQUIRE_TOOLS=1 (CI) they fail instead, so that a green run there means that they ran.
 */
export interface Requirement {
  readonly name: string
  readonly isMet: () => boolean
}

const root = resolve(import.meta.dirname, '../..')

/** A command on PATH, or in Debian's directories for administrators. */
export function requireTool(name: string): Requirement {
  return { name, isMet: () => isOnPath(name) }
}

/** Java and the Kafka jars, or Maven to fetch them. */
export const requireKafka: Requirement = {
  name: 'java and (Kafka jars or mvn)',
  isMet: () => {
    const hasJars = existsSync(process.env['KAFKA_HOME'] ?? '') || isResolved(kafkaJarsDirectory(root))
    return isOnPath('java') && (hasJars || isOnPath('mvn'))
  },
}

/** A Docker engine that answers, and a compose. */
export const requireDocker: Requirement = {
  name: 'a running Docker engine with docker compose or docker-compose',
  isMet: () =>
    succeeds('docker', 'info') && (succeeds('docker', 'compose', 'version') || isOnPath('docker-compose')),
}

/** `describe`, if everything it needs is there. */
export function describeWith(requirements: readonly Requirement[], name: string, body: () => void): void {
  const missing = requirements
    .filter((requirement) => !requirement.isMet())
    .map((requirement) => requirement.name)
  if (missing.length === 0) {
    describe(name, body)
    return
  }
  const reason = `needs ${missing.join(', ')}, not installed here`
  describe(name, () => {
    if (process.env['REQUIRE_TOOLS'] === '1') {
      test(reason, () => {
        throw new Error(`${name} ${reason}, and REQUIRE_TOOLS=1`)
      })
    } else {
      test.skip(reason)
    }
  })
}

function succeeds(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 20_000 }).status === 0
}

function isOnPath(name: string): boolean {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return directories.some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
