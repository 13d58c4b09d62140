import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { type LabReady, readReadyFile } from './lab/ready.ts'

/** Where the lab's state is unless --dir says otherwise. */
export const defaultDirectory = '.blockferry'

/** The options by which a command finds the services. */
export interface PlaceOptions {
  readonly dir?: string
}

/** Adds --dir; an address in the environment is used when it is not given. */
export function withPlace(command: Command): Command {
  return command.option('--dir <directory>', `the lab's directory (default: "${defaultDirectory}")`)
}

/** @throws LAB_NOT_RUNNING */
export function readLab(place: PlaceOptions): LabReady {
  return readReadyFile(join(resolve(place.dir ?? defaultDirectory), 'ready.json'))
}

const variables = {
  applier: 'BLOCKFERRY_APPLIER_URL',
  'tap-agent': 'BLOCKFERRY_TAP_AGENT_URL',
  'mirror-maker': 'BLOCKFERRY_MIRROR_MAKER_URL',
} as const

/** Base URL of a service as the environment names it; null when it does not, or --dir wins over it. */
export function namedServiceUrl(service: keyof typeof variables, place: PlaceOptions): string | null {
  const named = process.env[variables[service]]
  if (place.dir !== undefined || named === undefined || named === '') return null
  return named.replace(/\/+$/, '')
}

/**
 * Base URL of a service: --dir wins over its variable (BLOCKFERRY_APPLIER_URL …), which wins over the default
 * directory.
 * @throws LAB_NOT_RUNNING
 */
export function serviceUrl(service: 'applier' | 'tap-agent', place: PlaceOptions): string {
  return namedServiceUrl(service, place) ?? readLab(place).processes[service]?.http ?? ''
}
