import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Random } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import { writeFileAtomically } from './atomic-file.ts'

const names = [
  'kafkaA',
  'kafkaAController',
  'kafkaAWan',
  'kafkaB',
  'kafkaBController',
  'wan',
  'wanHttp',
  'tapHttp',
  'aggregatorHttp',
  'applierHttp',
  'supervisorHttp',
] as const
export type PortName = (typeof names)[number]
export type LabPorts = Readonly<Record<PortName, number>>

/** Below the range from which the kernel takes ports for outgoing connections: a port given up for the moment
 *  of a restart is not lost to one of those. */
const portRange = { from: 10_000, count: 22_000 }

/**
 * Free ports at the first start, the same ones at every later start, because people and clients keep
 * addresses. One that another program has taken meanwhile is replaced.
 */
export async function settlePorts(portsFile: string, random: Random): Promise<LabPorts> {
  const kept = existsSync(portsFile) ? readPorts(portsFile) : {}
  const chosen = new Set<number>(Object.values(kept))
  const ports: Record<string, number> = {}
  for (const name of names) {
    const before = kept[name]
    const port = before !== undefined && (await isFree(before)) ? before : await freePort(chosen, random)
    chosen.add(port)
    ports[name] = port
  }
  writeFileAtomically(portsFile, `${JSON.stringify(ports, null, 2)}\n`)
  return ports as LabPorts
}

function readPorts(portsFile: string): Partial<LabPorts> {
  try {
    const content: unknown = JSON.parse(readFileSync(portsFile, 'utf8'))
    if (typeof content === 'object' && content !== null) return content
  } catch (cause) {
    throw fault('LAB_DIRECTORY_UNUSABLE', `${portsFile} is not JSON`, { cause })
  }
  throw fault('LAB_DIRECTORY_UNUSABLE', `${portsFile} holds no ports`)
}

const attemptsMax = 1000

async function freePort(chosen: ReadonlySet<number>, random: Random): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = portRange.from + (random.uint32() % portRange.count)
    if (!chosen.has(port) && (await isFree(port))) return port
  }
  throw fault('NO_FREE_PORT', `no free port found in ${attemptsMax} attempts from ${portRange.from} up`)
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  return promise
}
