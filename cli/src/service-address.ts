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

/**
 * Base URL of a service: --dir wins over BLOCKFERRY_APPLIER_URL or BLOCKFERRY_TAP_AGENT_URL, which win over
 * the default directory.
 * @throws LAB_NOT_RUNNING
 */
export function serviceUrl(service: 'applier' | 'tap-agent', place: PlaceOptions): string {
  const name = service === 'applier' ? 'BLOCKFERRY_APPLIER_URL' : 'BLOCKFERRY_TAP_AGENT_URL'
  const fromEnvironment = process.env[name]
  if (place.dir === undefined && fromEnvironment !== undefined && fromEnvironment !== '') {
    return fromEnvironment.replace(/\/+$/, '')
  }
  return readLab(place).processes[service]?.http ?? ''
}
