import { readFileSync } from 'node:fs'
import { fault } from '../faults.ts'
import type { LabDisk } from './lab-disk.ts'
import type { LabPorts } from './ports.ts'

export interface ReadyProcess {
  readonly pid: number
  readonly http?: string
  /** The applier's WebSocket feed. */
  readonly lag?: string
}

/** The first line of `start --json`, and DIR/ready.json: where everything of a running lab is. */
export interface LabReady {
  readonly event: 'ready'
  readonly disks: readonly {
    readonly id: string
    readonly nbd: string
    readonly source: string
    readonly target: string
  }[]
  readonly sites: Readonly<Record<string, { readonly kafka: string }>>
  readonly processes: Readonly<Record<string, ReadyProcess>>
  /** The `start` process itself: metrics, and /v1/mirror. */
  readonly supervisor: ReadyProcess
}

export interface ReadyFacts {
  readonly disks: readonly LabDisk[]
  readonly nbdSocket: string
  readonly ports: LabPorts
  /** Running processes by name. */
  readonly pids: ReadonlyMap<string, number>
  readonly supervisorHttp: string
}

const host = '127.0.0.1'

export function describeLab(facts: ReadyFacts): LabReady {
  const { ports } = facts
  const http = (port: number) => ({ http: `http://${host}:${port}` })
  const addresses: Readonly<Record<string, Partial<ReadyProcess>>> = {
    wan: http(ports.wanHttp),
    'tap-agent': http(ports.tapHttp),
    aggregator: http(ports.aggregatorHttp),
    applier: { ...http(ports.applierHttp), lag: `ws://${host}:${ports.applierHttp}/v1/lag` },
  }
  const processes = [...facts.pids].map(([name, pid]) => [name, { pid, ...addresses[name] }] as const)
  return {
    event: 'ready',
    disks: facts.disks.map(({ id, source, target }) => {
      const socket = encodeURI(facts.nbdSocket)
      return { id, nbd: `nbd+unix:///${encodeURIComponent(id)}?socket=${socket}`, source, target }
    }),
    sites: {
      'site-a': { kafka: `${host}:${ports.kafkaA}` },
      'site-b': { kafka: `${host}:${ports.kafkaB}` },
    },
    processes: Object.fromEntries(processes),
    supervisor: { pid: process.pid, http: facts.supervisorHttp },
  }
}

/** @throws LAB_NOT_RUNNING when there is no ready.json. */
export function readReadyFile(path: string): LabReady {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LabReady
  } catch (cause) {
    throw fault('LAB_NOT_RUNNING', `no running lab: ${path} cannot be read`, { cause })
  }
}
