import { Body, Controller, Get, Header, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { MintReply, MintRequest } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { IdPipe } from '../access/id.pipe';
import { AccessForAuthority, Caller, Public } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { SigningKeys } from '../signing/signing-keys';
import { MintCredential } from './mint-credential';

class MintRequestDto extends createZodDto(MintRequest) {}
class MintReplyDto extends createZodDto(MintReply) {}

@ApiTags('credentials')
@Controller()
export class CredentialsController {
  constructor(
    private readonly credentials: MintCredential,
    private readonly keys: SigningKeys,
  ) {}

  @Post('v1/agents/:id/credentials')
  @AccessForAuthority('service', 'agent')
  @ZodResponse({ status: 201, type: MintReplyDto })
  async mint(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('agent')) id: string,
    @Body() body: MintRequestDto,
  ) {
    return { credential: await this.credentials.mint(by, id, body) };
  }

  /** RFC 7517. Enforcement points pin keys at enrolment and hear of changes in the stream; this is for everybody else. */
  @Get('.well-known/jwks.json')
  @Public()
  @Header('cache-control', 'public, max-age=60')
  async jwks() {
    return { keys: await this.keys.allPublicTokenKeys() };
  }
}
