"""timm, imported as Offshelf imports it."""

from features.backbones.timm_here import timm_here

timm = timm_here()
