import { setImmediate as turn } from 'node:timers/promises'
import { createHttpEdge, createLogger, createMetrics, type HttpEdge } from '@blockferry/runtime/service'
import { afterEach, describe, expect, test } from 'vitest'
import { AgentBench } from '../testing/agent-bench.ts'
import { serveDisks } from './disks-route.ts'
import { readinessOf, statusOf } from './readiness.ts'
import { serveRecoveryPoints } from './recovery-points-route.ts'

const turnsMax = 20_000
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** An agent with two disks of the group db, and its HTTP side. */
async function served(options: { readonly kafkaAway?: boolean } = {}) {
  const bench = new AgentBench(1, { diskIds: ['vda', 'vdb'], groupId: 'db' })
  if (options.kafkaAway === true) bench.cluster.setAvailable(false)
  else await bench.makeTopics()
  const agent = await bench.start()
  if (options.kafkaAway !== true) {
    for (const diskId of ['vda', 'vdb']) await bench.untilStreaming(diskId)
  }
  const metrics = createMetrics('tap-agent')
  const edge = await createHttpEdge({
    service: 'tap-agent',
    metrics,
    logger: createLogger({ service: 'tap-agent', level: 'silent' }),
    readiness: () => readinessOf(agent),
    statusOf,
  })
  serveDisks(edge, agent)
  serveRecoveryPoints(edge, agent)
  closers.push(async () => {
    await edge.close()
    metrics[Symbol.dispose]()
  })
  return { bench, edge }
}

/** The answer; the bench's world moves on while it is awaited. */
async function cut(
  { bench, edge }: { readonly bench: AgentBench; readonly edge: HttpEdge },
  what: { readonly group: string; readonly body?: object },
) {
  const answering = edge.inject({
    method: 'POST',
    url: `/v1/groups/${what.group}/recovery-points`,
    ...(what.body === undefined ? {} : { payload: what.body }),
  })
  const request = { underway: true }
  const end = () => {
    request.underway = false
  }
  answering.then(end, end)
  for (let turns = 0; request.underway; turns += 1) {
    if (turns > turnsMax) throw new Error(`no answer in ${turnsMax} turns`)
    await bench.world.run(1)
    await turn()
  }
  return answering
}

describe('POST /v1/groups/:id/recovery-points', () => {
  test('cuts the whole group and answers 201 with the cut that is in the stream of each member', async () => {
    const tap = await served()
    const answer = await cut(tap, { group: 'db', body: { name: 'before-upgrade' } })
    expect(answer.statusCode, answer.body).toBe(201)
    const point = answer.json<{ cutId: string; time: string }>()
    expect(point).toMatchObject({
      groupId: 'db',
      members: ['vda', 'vdb'],
      name: 'before-upgrade',
      requestId: null,
    })
    expect(new Date(point.time).toISOString()).toBe(point.time)
    for (const diskId of ['vda', 'vdb']) {
      await tap.bench.untilShipped(diskId)
      const cuts = tap.bench.groups(diskId).flatMap(({ events }) => events.filter(isRecoveryPoint))
      expect(cuts).toContainEqual(expect.objectContaining({ cutId: point.cutId, name: 'before-upgrade' }))
    }
  })

  test('needs no body', async () => {
    const answer = await cut(await served(), { group: 'db' })
    expect(answer.statusCode, answer.body).toBe(201)
    expect(answer.json()).toMatchObject({ name: null, groupId: 'db' })
  })

  test('answers a repeated request id with the same cut', async () => {
    const tap = await served()
    const first = await cut(tap, { group: 'db', body: { requestId: 'r-1' } })
    const second = await cut(tap, { group: 'db', body: { requestId: 'r-1' } })
    expect(second.statusCode).toBe(201)
    expect(second.json()).toEqual(first.json())
    const third = await cut(tap, { group: 'db', body: { requestId: 'r-2' } })
    expect(third.json<{ cutId: string }>().cutId).not.toBe(first.json<{ cutId: string }>().cutId)
  })

  test('knows no group of another name, nor a member of a group as one of its own: 404', async () => {
    const tap = await served()
    for (const group of ['nobody', 'vda']) {
      expect(problemIn(await cut(tap, { group, body: {} }))).toMatchObject({
        status: 404,
        code: 'UNKNOWN_GROUP',
        nextCommand: expect.stringContaining('/v1/disks') as string,
      })
    }
  })

  test('refuses with 409 while a member is not in step', async () => {
    const tap = await served({ kafkaAway: true })
    expect(problemIn(await cut(tap, { group: 'db', body: { name: 'now' } }))).toMatchObject({
      status: 409,
      code: 'CUT_NOT_POSSIBLE',
      details: { members: ['vda', 'vdb'] },
    })
  })

  test('says with 503 that the cut was lost when the spool of a member fails under it', async () => {
    const tap = await served()
    tap.bench.spoolFault = (operation) => (operation === 'write' ? { code: 'EIO' } : null)
    expect(problemIn(await cut(tap, { group: 'db', body: { name: 'now' } }))).toMatchObject({
      status: 503,
      code: 'CUT_LOST',
    })
  })

  test.each([
    { what: 'an empty name', body: { name: '' } },
    { what: 'a name that is no text', body: { name: { first: 'x' } } },
    { what: 'a name that is too long', body: { name: 'x'.repeat(256) } },
    { what: 'an unknown field', body: { nmae: 'x' } },
    { what: 'a list', body: ['x'] },
  ])('refuses $what with 400 and cuts nothing', async ({ body }) => {
    const tap = await served()
    expect(problemIn(await cut(tap, { group: 'db', body }))).toMatchObject({
      status: 400,
      code: 'INVALID_REQUEST',
    })
    const cuts = tap.bench.groups('vda').flatMap(({ events }) => events.filter(isRecoveryPoint))
    expect(cuts.filter(({ name }) => name !== null)).toEqual([])
  })
})

describe('the description of the tap’s HTTP side', () => {
  test('lists every problem that a route answers, as problem+json', async () => {
    const { edge } = await served()
    const { paths } = (await edge.inject('/openapi.json')).json<OpenApi>()
    const problemsOf = (path: string, method: string) =>
      Object.entries(paths[path]?.[method]?.responses ?? {})
        .filter(([, { content }]) => content !== undefined && 'application/problem+json' in content)
        .map(([status]) => status)
    expect(problemsOf('/v1/disks/{id}', 'get')).toEqual(['404'])
    expect(problemsOf('/v1/groups/{id}/recovery-points', 'post')).toEqual(['400', '404', '409', '503'])
  })

  test('an unknown disk is a 404 with its code', async () => {
    const { edge } = await served()
    expect(problemIn(await edge.inject('/v1/disks/nobody'))).toMatchObject({
      status: 404,
      code: 'UNKNOWN_DISK',
    })
  })
})

interface OpenApi {
  readonly paths: Readonly<
    Record<string, Record<string, { responses: Record<string, { content?: Record<string, object> }> }>>
  >
}

type Answer = Awaited<ReturnType<typeof cut>>

/** The body of a refusal, after the parts that all have in common. */
function problemIn(answer: Answer): object {
  expect(answer.headers['content-type']).toContain('application/problem+json')
  const problem = answer.json<{ status: number; code: string; type: string; title: string; detail: string }>()
  expect(problem.status).toBe(answer.statusCode)
  expect(problem.type).toBe(`urn:blockferry:error:${problem.code}`)
  expect(problem.detail.length).toBeGreaterThan(0)
  return problem
}

type BenchEvent = ReturnType<AgentBench['groups']>[number]['events'][number]

function isRecoveryPoint(event: BenchEvent): event is Extract<BenchEvent, { kind: 'recoveryPoint' }> {
  return event.kind === 'recoveryPoint'
}
